/* Texts: a hash of 128 bits, keyed with the profile's secret, and the number of characters in UTF-8. */
#include "internal.h"

#include <string.h>

static inline uint64_t load(const unsigned char *at, size_t bytes) {
    uint64_t word = 0;
    memcpy(&word, at, bytes);
    return word;
}

/* Two lanes of folded products over all bytes, each with its own secret. Two texts of a table collide with a
 * probability of about 2^-120. */
void hdm_hash(const struct hdm_profile *p, const unsigned char *text, size_t length, uint64_t key[2]) {
    const uint64_t *secret = p->secret;
    uint64_t a = secret[0], b = secret[1];
    size_t left = length;
    for (; left > 16; left -= 16, text += 16) {
        uint64_t x = load(text, 8), y = load(text + 8, 8);
        a = hdm_fold(x ^ secret[2], y ^ a);
        b = hdm_fold(y ^ secret[3], x ^ b);
    }
    uint64_t x = 0, y = 0;
    if (left >= 8) {
        x = load(text, 8);
        y = load(text + left - 8, 8);
    } else if (left >= 4) {
        x = load(text, 4);
        y = load(text + left - 4, 4);
    } else if (left > 0) {
        x = (uint64_t)text[0] << 16 | (uint64_t)text[left >> 1] << 8 | text[left - 1];
    }
    a = hdm_fold(x ^ secret[2], y ^ a);
    b = hdm_fold(y ^ secret[3], x ^ b);
    /* The length comes last: mixed with the bytes, it could cancel out a difference between them. */
    key[0] = hdm_fold(a ^ secret[1], secret[3] + length);
    key[1] = hdm_fold(b ^ secret[0], secret[2] + length);
}

struct text_size hdm_measure_text(const unsigned char *text, size_t length) {
    uint32_t c = 0, b = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) { /* eight bytes at a time */
        uint64_t word = load(text + i, 8);
        uint64_t follows = (word >> 7) & (~word >> 6) & UINT64_C(0x0101010101010101); /* 10xxxxxx: no new character */
        uint64_t other = word ^ UINT64_C(0x2020202020202020);
        uint64_t filled = (((other & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7f7f7f7f7f7f7f7f)) | other) >> 7;
        uint64_t blank = ~filled & UINT64_C(0x0101010101010101);
        c += 8 - (uint32_t)((follows * UINT64_C(0x0101010101010101)) >> 56);
        b += (uint32_t)((blank * UINT64_C(0x0101010101010101)) >> 56);
    }
    for (; i < length; i++) {
        c += (text[i] & 0xc0) != 0x80;
        b += text[i] == ' ';
    }
    uint32_t padding = 0;
    if (b) { /* most texts have none */
        size_t start = 0, end = length;
        while (end > start && text[end - 1] == ' ') end--;
        while (start < end && text[start] == ' ') start++;
        padding = (uint32_t)(length - (end - start));
    }
    return (struct text_size){c, c - padding, b - padding};
}
