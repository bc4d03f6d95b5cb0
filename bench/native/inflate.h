/*
 * Reads DEFLATE (RFC 1951) in whole blocks, so that compressed streams can be counted without a library that may not be
 * there. A block that is cut off is left for the next call; streams that are flushed with every turn end with a whole one.
 */
#ifndef LONGWIRE_BENCH_INFLATE_H
#define LONGWIRE_BENCH_INFLATE_H

#include "support.h"

#define HISTORY_BYTES 32768
#define INFLATED_BYTES (1 << 20)
#define CODE_BITS_MAX 15

struct inflater {
  unsigned bit; /* how many bits of the first byte not taken belong to the block before */
  int ended;
  size_t history_bytes;
  uint8_t history[HISTORY_BYTES];
};

struct bits {
  const uint8_t *bytes;
  size_t length; /* in bits, as `at` */
  size_t at;
};

/* Looked up by the next `width` bits: the symbol, and in the low four bits its code's length; 0 is no code. */
struct code {
  unsigned width;
  uint16_t entries[1 << CODE_BITS_MAX];
};

static uint8_t inflate_buffer[HISTORY_BYTES + INFLATED_BYTES];

static inline void inflater_reset(struct inflater *inflater) {
  inflater->bit = 0;
  inflater->ended = 0;
  inflater->history_bytes = 0;
}

/* The next bits, zeros behind the end. */
static inline uint32_t peek_bits(const struct bits *bits, unsigned count) {
  size_t byte = bits->at / 8, bytes = bits->length / 8;
  uint64_t value = 0;
  for (size_t i = 0; i < 5 && byte + i < bytes; i++) value |= (uint64_t)bits->bytes[byte + i] << (8 * i);
  return (uint32_t)(value >> (bits->at % 8)) & ((1u << count) - 1);
}

/* Where the input ends too early, `at` passes `length`, and the block is given up. */
static inline uint32_t take_bits(struct bits *bits, unsigned count) {
  uint32_t value = peek_bits(bits, count);
  bits->at += count;
  return value;
}

static inline int cut_off(const struct bits *bits) { return bits->at > bits->length; }

static inline void make_code(struct code *code, const uint8_t *lengths, unsigned symbols) {
  unsigned of_length[CODE_BITS_MAX + 1] = {0}, next[CODE_BITS_MAX + 1] = {0};
  code->width = 1;
  for (unsigned symbol = 0; symbol < symbols; symbol++) {
    of_length[lengths[symbol]]++;
    if (lengths[symbol] > code->width) code->width = lengths[symbol];
  }
  of_length[0] = 0;
  for (unsigned length = 1; length <= CODE_BITS_MAX; length++) next[length] = (next[length - 1] + of_length[length - 1]) << 1;
  memset(code->entries, 0, sizeof(uint16_t) << code->width);
  for (unsigned symbol = 0; symbol < symbols; symbol++) {
    unsigned length = lengths[symbol], reversed = 0;
    if (length == 0) continue;
    /* Codes are sent with their first bit lowest. */
    for (unsigned bit = 0, value = next[length]++; bit < length; bit++, value >>= 1) reversed = reversed << 1 | (value & 1);
    for (unsigned at = reversed; at < 1u << code->width; at += 1u << length)
      code->entries[at] = (uint16_t)(symbol << 4 | length);
  }
}

static inline unsigned take_symbol(struct bits *bits, const struct code *code) {
  unsigned entry = code->entries[peek_bits(bits, code->width)];
  if (entry == 0 && bits->at + code->width <= bits->length) fail("compressed data holds a code that is none");
  bits->at += entry == 0 ? code->width : entry & 15;
  return entry >> 4;
}

static inline void fixed_codes(struct code *literals, struct code *distances) {
  uint8_t lengths[288];
  for (int symbol = 0; symbol < 288; symbol++)
    lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
  make_code(literals, lengths, 288);
  memset(lengths, 5, 30);
  make_code(distances, lengths, 30);
}

/* RFC 1951 section 3.2.7. */
static inline void dynamic_codes(struct bits *bits, struct code *literals, struct code *distances) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  static struct code code;
  uint8_t lengths[288 + 32 + 138] = {0}, code_lengths[19] = {0};
  unsigned literal_count = take_bits(bits, 5) + 257, distance_count = take_bits(bits, 5) + 1;
  unsigned code_count = take_bits(bits, 4) + 4, known = 0;
  for (unsigned i = 0; i < code_count; i++) code_lengths[order[i]] = (uint8_t)take_bits(bits, 3);
  make_code(&code, code_lengths, 19);
  while (known < literal_count + distance_count && !cut_off(bits)) {
    unsigned symbol = take_symbol(bits, &code), times = 1;
    uint8_t length = symbol < 16 ? (uint8_t)symbol : 0;
    if (symbol == 16) {
      if (known == 0) fail("compressed data repeats a length before the first");
      length = lengths[known - 1];
      times = 3 + take_bits(bits, 2);
    } else if (symbol == 17) {
      times = 3 + take_bits(bits, 3);
    } else if (symbol == 18) {
      times = 11 + take_bits(bits, 7);
    }
    memset(lengths + known, length, times);
    known += times;
  }
  if (cut_off(bits)) return;
  make_code(literals, lengths, literal_count);
  make_code(distances, lengths + literal_count, distance_count);
}

/* Writes from `out` on; returns where it ended. `first` is the oldest byte that a distance may reach. */
static inline size_t inflate_symbols(struct bits *bits, const struct code *literals, const struct code *distances,
                                     size_t out, size_t first) {
  static const uint16_t length_bases[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                            31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
  static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
  static const uint16_t distance_bases[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                              193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
  for (;;) {
    unsigned symbol = take_symbol(bits, literals);
    if (cut_off(bits) || symbol == 256) return out;
    if (out + 258 > sizeof inflate_buffer) fail("more than %d bytes were compressed into one flush", INFLATED_BYTES);
    if (symbol < 256) {
      inflate_buffer[out++] = (uint8_t)symbol;
      continue;
    }
    if (symbol > 285) fail("compressed data holds a length that is none");
    unsigned length = length_bases[symbol - 257] + take_bits(bits, length_bits[symbol - 257]);
    unsigned far = take_symbol(bits, distances);
    if (far > 29) fail("compressed data holds a distance that is none");
    size_t distance = distance_bases[far] + take_bits(bits, far < 4 ? 0 : far / 2 - 1);
    if (cut_off(bits)) return out;
    if (distance > out - first) fail("compressed data reaches back too far");
    for (; length > 0; length--, out++) inflate_buffer[out] = inflate_buffer[out - distance];
  }
}

static inline size_t inflate_stored(struct bits *bits, size_t out) {
  bits->at = (bits->at + 7) / 8 * 8;
  size_t length = take_bits(bits, 16), check = take_bits(bits, 16);
  if (cut_off(bits)) return out;
  if ((length ^ check) != 0xffff) fail("compressed data holds a stored length that is none");
  if (out + length > sizeof inflate_buffer) fail("more than %d bytes were compressed into one flush", INFLATED_BYTES);
  if (bits->at + length * 8 <= bits->length) memcpy(inflate_buffer + out, bits->bytes + bits->at / 8, length);
  bits->at += length * 8;
  return out + length;
}

static inline size_t inflate_block(struct bits *bits, size_t out, size_t first) {
  static struct code literals, distances;
  switch (take_bits(bits, 2)) {
  case 0: return inflate_stored(bits, out);
  case 1: fixed_codes(&literals, &distances); break;
  case 2: dynamic_codes(bits, &literals, &distances); break;
  default: fail("compressed data holds a block that is none");
  }
  return cut_off(bits) ? out : inflate_symbols(bits, &literals, &distances, out, first);
}

/* Inflates all whole blocks to `text`, which holds until the next call; returns the bytes taken. */
static inline size_t inflate_blocks(struct inflater *inflater, const uint8_t *bytes, size_t length, const uint8_t **text,
                                    size_t *size) {
  struct bits bits = {.bytes = bytes, .length = length * 8, .at = inflater->bit};
  size_t out = HISTORY_BYTES, first = HISTORY_BYTES - inflater->history_bytes;
  memcpy(inflate_buffer + first, inflater->history, inflater->history_bytes);
  while (!inflater->ended && bits.at < bits.length) {
    struct bits block = bits;
    int last = (int)take_bits(&block, 1);
    size_t end = inflate_block(&block, out, first);
    if (cut_off(&block)) break;
    bits = block;
    out = end;
    inflater->ended = last;
  }
  size_t history = out - first < HISTORY_BYTES ? out - first : HISTORY_BYTES;
  memcpy(inflater->history, inflate_buffer + out - history, history);
  inflater->history_bytes = history;
  inflater->bit = bits.at % 8;
  *text = inflate_buffer + HISTORY_BYTES;
  *size = out - HISTORY_BYTES;
  return bits.at / 8;
}

/* The bytes of a gzip header (RFC 1952), 0 while it is incomplete. */
static inline size_t gzip_head(const uint8_t *bytes, size_t length) {
  if (length < 10) return 0;
  if (bytes[0] != 0x1f || bytes[1] != 0x8b || bytes[2] != 8) fail("a body said to be gzip is none");
  if (bytes[3] != 0) fail("a gzip header with optional fields");
  return 10;
}

#endif
