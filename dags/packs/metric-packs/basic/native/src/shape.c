/* The shape of texts: blanks at their ends, case, broken encodings, words that stand for a missing value.
 *
 * A text's shape depends on its bytes alone. While a table counts the column's levels, it is computed once per level and
 * weighted with the level's count at the end; afterwards for each value. Both give the same counts. */
#include "internal.h"

#include <string.h>

#define HIGH_BITS (EACH_BYTE << 7)
#define LONGEST_WORD 16 /* bytes; no placeholder has more */

/* -- Letters ------------------------------------------------------------------------------------------------------ */

/* The letters of U+0000 to U+052F (Latin, Greek, Cyrillic) and U+1E00 to U+1EFF (Latin, of Vietnamese), one bit each:
 * Unicode's properties Uppercase and Lowercase. Titlecase letters are both, which makes their texts neither. A test
 * compares all of them with Python's. */
#define LETTERS_END 0x530u
#define MORE_LETTERS 0x1eu /* the 256 letters from U+1E00 on */
static const uint64_t upper_letters[] = {
    0x0000000000000000, 0x0000000007fffffe, 0x0000000000000000, 0x000000007f7fffff, 0xaa55555555555555,
    0x2b555555555554aa, 0x11aed2d5b1dbced6, 0x55d655554aaaadb0, 0x6c05555555555555, 0x000000000000557a,
    0x0000000000000000, 0x0000000000000000, 0x0000000000000000, 0x8045000000000000, 0x00000ffbfffed740,
    0xe6905555551c8000, 0x0000ffffffffffff, 0x5555555500000000, 0x5555555555555401, 0x5555555555552aab,
    0x0000555555555555, 0x5555555555555555, 0x5555555555555555, 0x5555555540155555, 0x5555555555555555,
};
static const uint64_t lower_letters[] = {
    0x0000000000000000, 0x07fffffe00000000, 0x0420040000000000, 0xff7fffff80000000, 0x55aaaaaaaaaaaaaa,
    0xd4aaaaaaaaaaab55, 0xe6512d2a4e243129, 0xaa2daaaab5555b60, 0x93faaaaaaaaaaaaa, 0xffffffffffffaa85,
    0x01ffffffffefffff, 0x0000001f00000003, 0x0000000000000000, 0x3c8a000000000020, 0xfffff00000010000,
    0x192faaaaaae37fff, 0xffff000000000000, 0xaaaaaaaaffffffff, 0xaaaaaaaaaaaaa802, 0xaaaaaaaaaaaad554,
    0x0000aaaaaaaaaaaa, 0xaaaaaaaaaaaaaaaa, 0xaaaaaaaaaaaaaaaa, 0xaaaaaaaabfeaaaaa, 0xaaaaaaaaaaaaaaaa,
};

struct letters {
    uint64_t upper, lower; /* not 0: the text has such letters */
};

static inline void note_letter(struct letters *found, uint32_t character) {
    uint32_t place = character;
    if (character >= LETTERS_END) {
        if (character >> 8 != MORE_LETTERS) return;
        place = 21 * 64 + (character & 0xff);
    }
    found->upper |= upper_letters[place >> 6] >> (place & 63) & 1;
    found->lower |= lower_letters[place >> 6] >> (place & 63) & 1;
}

/* Eight bytes of ASCII at once. */
static inline void note_letters(struct letters *found, uint64_t word) {
    uint64_t small = word | EACH_BYTE << 5; /* 'A' becomes 'a' */
    uint64_t letter = (small + EACH_BYTE * (0x80 - 'a')) & ~(small + EACH_BYTE * (0x7f - 'z')) & HIGH_BITS;
    found->upper |= letter & ~(word << 2);
    found->lower |= letter & word << 2;
}

/* -- UTF-8 -------------------------------------------------------------------------------------------------------- */

#define NO_CHARACTER UINT32_MAX /* bytes that are not UTF-8 */

static size_t read_longer(const unsigned char *at, size_t left, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0, 0x800, 0x10000};
    size_t bytes = at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 1;
    uint32_t found = at[0] & (0x7fu >> bytes);
    *character = NO_CHARACTER;
    if (bytes == 1 || bytes > left) return 1;
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xc0) != 0x80) return 1;
        found = found << 6 | (at[i] & 0x3f);
    }
    if (found < least[bytes] || found > 0x10ffff || (found >= 0xd800 && found < 0xe000)) return 1;
    *character = found;
    return bytes;
}

/* Reads a character that is not ASCII, as strictly as Python. Returns how many bytes it has; 1 if they are not UTF-8. */
static inline size_t read_character(const unsigned char *at, size_t left, uint32_t *character) {
    if (at[0] < 0xc2 || at[0] >= 0xe0 || left < 2 || (at[1] & 0xc0) != 0x80) return read_longer(at, left, character);
    *character = (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    return 2;
}

/* -- Signs of UTF-8 that has been read as Latin-1 or CP1252 -------------------------------------------------------- */

/* What CP1252 makes of the bytes 0x80 to 0x9f, except U+2019, U+201D, U+2026, U+2014 and U+203A: these five follow a
 * capital letter in sound texts, too. */
static bool is_symbol(uint32_t c) {
    switch (c) {
        case 0x20ac: case 0x201a: case 0x192: case 0x201e: case 0x2020: case 0x2021: case 0x2c6: case 0x2030:
        case 0x160: case 0x2039: case 0x152: case 0x17d: case 0x2018: case 0x201c: case 0x2022: case 0x2013:
        case 0x2dc: case 0x2122: case 0x161: case 0x153: case 0x17e: case 0x178: return true;
        default: return false;
    }
}

/* Those that follow no letter of any kind: neither letters nor quotes nor dashes. */
static bool is_odd_symbol(uint32_t c) {
    switch (c) {
        case 0x20ac: case 0x201a: case 0x192: case 0x201e: case 0x2020: case 0x2021: case 0x2c6: case 0x2030:
        case 0x2022: case 0x2dc: case 0x2122: case 0x178: return true;
        default: return false;
    }
}

/* Whether a character after `former`, which is 0 unless it is the one before and not ASCII, shows a broken encoding. */
static inline bool is_broken(uint32_t former, uint32_t c) {
    if (c == NO_CHARACTER || c == 0xfffd) return true;
    if (c < 0xa0 && c != 0x85) return true; /* a control: CP1252 read as Latin-1; U+0085 ends lines on mainframes */
    switch (former) {
        case 0xc3: return c <= 0xbf || is_symbol(c);
        case 0xc2: return c <= 0xbf;
        case 0xe2: /* punctuation, and the euro sign */
        case 0xc4: case 0xc5: /* Central Europe, Turkish */
        case 0xce: case 0xcf: /* Greek */
        case 0xd0: case 0xd1: /* Cyrillic */ return is_odd_symbol(c);
        default: return false;
    }
}

/* -- Blanks at the ends ------------------------------------------------------------------------------------------- */

/* Unicode's White_Space, U+200B, which has no width, and U+FEFF, which begins files. */
static bool is_blank(uint32_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200b) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff;
}

/* Returns the bytes of the blank that the text begins with; 0 if it begins with none. */
static size_t blank_at_start(const unsigned char *text, size_t length) {
    uint32_t character = text[0];
    size_t bytes = text[0] < 0x80 ? 1 : read_character(text, length, &character);
    return is_blank(character) ? bytes : 0;
}

static size_t blank_at_end(const unsigned char *text, size_t length) {
    uint32_t character = text[length - 1];
    size_t bytes = 1;
    if (character >= 0x80) {
        while (bytes < 4 && bytes < length && (text[length - bytes] & 0xc0) == 0x80) bytes++;
        if (read_character(text + length - bytes, bytes, &character) != bytes) return 0;
    }
    return is_blank(character) ? bytes : 0;
}

/* -- Placeholders ------------------------------------------------------------------------------------------------- */

/* In lower case, by their length in bytes. The documentation lists them. */
static const char *const placeholders[LONGEST_WORD + 1] = {
    [2] = "na" "\\n",
    [3] = "n/a" "n/c" "n/d" "n/r" "nan" "nil" "tba" "tbd" "unk",
    [4] = "#n/a" "k.a." "n.a." "none" "null" "test" "todo",
    [5] = "dummy" "k. a." "neant",
    [6] = "(null)" "<null>" "n\xc3\xa9" "ant",
    [7] = "inconnu" "missing" "unknown",
    [8] = "inconnue" "onbekend",
    [9] = "unbekannt" "undefined",
    [11] = "desconocido" "sconosciuto" "unspecified",
    [12] = "keine angabe",
    [13] = "non renseigne" "not available" "not specified",
    [14] = "non renseign\xc3\xa9" "not applicable",
};

static inline unsigned char small_letter(unsigned char c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }

static bool is_word(const unsigned char *text, const char *word, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = small_letter(text[i]);
        if (i && text[i - 1] == 0xc3 && c < 0xa0) c |= 0x20; /* U+00C9 becomes U+00E9 */
        if (c != (unsigned char)word[i]) return false;
    }
    return true;
}

static bool is_placeholder(const unsigned char *text, size_t length) {
    unsigned char first = small_letter(text[0]);
    if (first == '-' || first == '?' || first == '.' || first == '*' || first == '_' || first == 'x') {
        size_t same = 1;
        while (same < length && small_letter(text[same]) == first) same++;
        return same == length && (first != 'x' || length > 1);
    }
    const char *word = length <= LONGEST_WORD ? placeholders[length] : NULL;
    for (; word && *word; word += length)
        if (*word == (char)first && is_word(text, word, length)) return true;
    return false;
}

/* -- Whole texts -------------------------------------------------------------------------------------------------- */

/* Sixteen bytes, which compilers keep in one register of any processor. */
typedef uint8_t block __attribute__((vector_size(16)));
typedef int8_t signed_block __attribute__((vector_size(16)));
typedef uint64_t pair __attribute__((vector_size(16)));

#define ALL(byte) ((block){byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte, byte})

struct blocks {
    block upper, lower; /* not 0: such letters */
    block other;        /* not 0: bytes that read_block does not know */
};

/* Reads the letters of ASCII and of U+00C0 to U+00FF, two bytes that begin with 0xc3, without another character beyond
 * ASCII before them: nearly all texts of Western Europe.
 *
 * former: the byte before each byte. */
static inline void read_block(struct blocks *found, block bytes, block former) {
    block high = (block)((signed_block)bytes < (signed_block)ALL(0)), begins = (block)(bytes == ALL(0xc3));
    block ends = (block)(former == ALL(0xc3)), follows = (block)((signed_block)bytes < (signed_block)ALL(0xc0));
    block is_lower = (block)(bytes >= ALL(0x9f)); /* U+00DF to U+00FF */
    found->other |= (high ^ (begins | ends)) | (ends & ~follows) | (begins & (block)((signed_block)former < (signed_block)ALL(0)));
    found->upper |= (block)(bytes - ALL('A') < ALL(26)) | (ends & ~is_lower & (block)(bytes != ALL(0x97)));
    found->lower |= (block)(bytes - ALL('a') < ALL(26)) | (ends & is_lower & (block)(bytes != ALL(0xb7)));
}

static inline bool has_any(block bytes) { return ((pair)bytes)[0] | ((pair)bytes)[1]; }

static inline block load_block(const unsigned char *at) {
    block found;
    memcpy(&found, at, 16);
    return found;
}

/* The first sixteen bytes of a text; zeros follow a shorter one. */
static inline pair load_start(const unsigned char *text, size_t length) {
    if (length >= 16) return (pair)load_block(text);
    if (length > 8) return (pair){hdm_load(text, 8), hdm_load_end(text, length, length - 8)};
    return (pair){length < 8 ? hdm_load_end(text, length, length) : hdm_load(text, 8), 0};
}

/* The sum of sixteen bytes. */
static inline uint32_t sum_of(block bytes) {
    uint64_t all = 0, each = UINT64_C(0x00ff00ff00ff00ff);
    for (int i = 0; i < 2; i++) all += (((pair)bytes)[i] & each) + (((pair)bytes)[i] >> 8 & each);
    return (uint32_t)(all * UINT64_C(0x0001000100010001) >> 48);
}

/* Returns false for a text that is not all ASCII, or so long that a byte cannot count its blanks. */
static bool read_ascii(struct letters *letters, uint32_t *blanks, const unsigned char *text, size_t length) {
    static const unsigned char masks[32] = {[16] = 255, 255, 255, 255, 255, 255, 255, 255,
                                            255,        255, 255, 255, 255, 255, 255, 255};
    block any = (block)load_start(text, length), upper = (block)(any - ALL('A') < ALL(26));
    block lower = (block)(any - ALL('a') < ALL(26)), blank = (block)(any == ALL(' '));
    if (length > 255 * 16) return false;
    for (size_t i = 16; i < length; i += 16) {
        size_t read = i + 16 <= length ? 0 : i + 16 - length; /* the last block begins with bytes read before */
        block bytes = load_block(text + i - read);
        any |= bytes;
        upper |= (block)(bytes - ALL('A') < ALL(26));
        lower |= (block)(bytes - ALL('a') < ALL(26));
        blank += (block)(bytes == ALL(' ')) & load_block(masks + 16 - read);
    }
    letters->upper = has_any(upper);
    letters->lower = has_any(lower);
    *blanks = sum_of(-blank); /* each counted down, from 0 */
    return !has_any(any & ALL(0x80));
}

/* Returns false for a text that needs read_all. */
static bool read_common(struct letters *letters, const unsigned char *text, size_t length) {
    struct blocks found = {ALL(0), ALL(0), ALL(0)};
    pair first = load_start(text, length);
    read_block(&found, (block)first, (block)(pair){first[0] << 8, first[1] << 8 | first[0] >> 56});
    for (size_t i = 16; i < length; i += 16) {
        const unsigned char *at = text + (i + 16 <= length ? i : length - 16);
        read_block(&found, load_block(at), load_block(at - 1));
    }
    letters->upper = has_any(found.upper);
    letters->lower = has_any(found.lower);
    return !has_any(found.other) && text[length - 1] != 0xc3;
}

/* Reads a text character by character, unless they are ASCII. Returns whether its encoding is broken. */
static bool read_all(struct letters *found, const unsigned char *text, size_t length) {
    size_t i = 0;
    uint32_t former = 0; /* the character before, if it is not ASCII */
    bool broken = false;
    while (i < length) {
        size_t left = length - i, plain = left < 8 ? left : 8;
        uint64_t word = left < 8 ? hdm_load_end(text, length, left) : hdm_load(text + i, 8), high = word & HIGH_BITS;
        if (high) {
            plain = (size_t)__builtin_ctzll(high) / 8;
            word &= (UINT64_C(1) << (8 * plain)) - 1;
        }
        note_letters(found, word);
        i += plain;
        if (plain) former = 0;
        if (!high) continue;
        uint32_t character;
        i += read_character(text + i, length - i, &character);
        if (!found->upper || !found->lower) note_letter(found, character);
        broken |= is_broken(former, character);
        former = character;
    }
    return broken;
}

uint32_t hdm_shape_of(const unsigned char *text, size_t length, struct text_size *size) {
    struct letters found = {0, 0};
    uint32_t shape = 0, blanks;
    size_t blank;
    *size = (struct text_size){0, 0, 0};
    if (!length) return 0;
    if (read_ascii(&found, &blanks, text, length)) {
        *size = hdm_size_of(text, length, (uint32_t)length, blanks);
    } else {
        *size = hdm_measure_text(text, length);
        if (!read_common(&found, text, length)) {
            found = (struct letters){0, 0};
            if (read_all(&found, text, length)) shape |= HDM_MOJIBAKE;
        }
    }
    bool upper = found.upper != 0, lower = found.lower != 0; /* no branches: nobody can predict them */
    shape |= (uint32_t)(upper > lower) * HDM_UPPER | (uint32_t)(lower > upper) * HDM_LOWER;
    if (blank_at_start(text, length) || blank_at_end(text, length)) {
        shape |= HDM_EDGE_BLANK;
        while (length && (blank = blank_at_end(text, length)) > 0) length -= blank;
        while (length && (blank = blank_at_start(text, length)) > 0) text += blank, length -= blank;
    }
    if (length && is_placeholder(text, length)) shape |= HDM_PLACEHOLDER;
    return shape;
}

uint32_t hdm_shape_of_uuid(const unsigned char *raw) {
    uint64_t first = hdm_load(raw, 8), second = hdm_load(raw + 8, 8), half = EACH_BYTE * 15, letters = 0;
    for (int shift = 0; shift <= 4; shift += 4) /* half bytes of 10 to 15 are letters */
        letters |= ((first >> shift & half) + EACH_BYTE * 6) | ((second >> shift & half) + EACH_BYTE * 6);
    return letters & EACH_BYTE << 4 ? HDM_LOWER : 0;
}

void hdm_note_slots(struct column *c, uint32_t used) {
    if (c->kind != HDM_TEXT) return;
    for (uint32_t i = 0; i < used; i++) c->shapes[c->slots[i].shape % HDM_SHAPES] += c->slots[i].count;
}

uint64_t hdm_count_shape(const struct column *c, uint32_t bit) {
    uint64_t count = 0;
    for (uint32_t shape = 0; shape < HDM_SHAPES; shape++)
        if (shape & bit) count += c->shapes[shape];
    return count;
}
