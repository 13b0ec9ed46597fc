/* Texts: a hash of 128 bits, keyed with the profile's secret, and the number of characters in UTF-8. */
#include "internal.h"

#include <string.h>

/* Two lanes of folded products over all bytes, each with its own secret. Two texts of a table collide with a
 * probability of about 2^-120. */
void hdm_hash(const struct hdm_profile *p, const unsigned char *text, size_t length, uint64_t key[2]) {
    const uint64_t *secret = p->secret;
    uint64_t a = secret[0], b = secret[1];
    size_t left = length;
    for (; left > 16; left -= 16, text += 16) {
        uint64_t x = hdm_load(text, 8), y = hdm_load(text + 8, 8);
        a = hdm_fold(x ^ secret[2], y ^ a);
        b = hdm_fold(y ^ secret[3], x ^ b);
    }
    uint64_t x = 0, y = 0;
    if (left >= 8) {
        x = hdm_load(text, 8);
        y = hdm_load(text + left - 8, 8);
    } else if (left >= 4) {
        x = hdm_load(text, 4);
        y = hdm_load(text + left - 4, 4);
    } else if (left > 0) {
        x = (uint64_t)text[0] << 16 | (uint64_t)text[left >> 1] << 8 | text[left - 1];
    }
    a = hdm_fold(x ^ secret[2], y ^ a);
    b = hdm_fold(y ^ secret[3], x ^ b);
    /* The length comes last: mixed with the bytes, it could cancel out a difference between them. */
    key[0] = hdm_fold(a ^ secret[1], secret[3] + length);
    key[1] = hdm_fold(b ^ secret[0], secret[2] + length);
}

/* Counts the bytes of eight that begin no character, and the blanks. */
static inline void measure_word(uint64_t word, uint32_t *follow, uint32_t *blanks) {
    uint64_t follows = (word >> 7) & (~word >> 6) & EACH_BYTE; /* 10xxxxxx */
    uint64_t other = word ^ EACH_BYTE * ' ';
    uint64_t filled = (((other & EACH_BYTE * 0x7f) + EACH_BYTE * 0x7f) | other) >> 7;
    *follow += (uint32_t)((follows * EACH_BYTE) >> 56);
    *blanks += (uint32_t)(((~filled & EACH_BYTE) * EACH_BYTE) >> 56);
}

struct text_size hdm_size_of(const unsigned char *text, size_t length, uint32_t c, uint32_t b) {
    uint32_t padding = 0;
    if (b) { /* most texts have none */
        size_t start = 0, end = length;
        while (end > start && text[end - 1] == ' ') end--;
        while (start < end && text[start] == ' ') start++;
        padding = (uint32_t)(length - (end - start));
    }
    return (struct text_size){c, c - padding, b - padding};
}

struct text_size hdm_measure_text(const unsigned char *text, size_t length) {
    uint32_t follow = 0, b = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) measure_word(hdm_load(text + i, 8), &follow, &b);
    if (i < length) measure_word(hdm_load_end(text, length, length - i), &follow, &b); /* its zeros count as nothing */
    return hdm_size_of(text, length, (uint32_t)length - follow, b);
}
