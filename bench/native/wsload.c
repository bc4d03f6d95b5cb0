/*
 * wsload: many WebSocket clients; clients.h tells the options and what it prints.
 *
 *   --first FRAME     text frame sent after the handshake
 *   --deflated 1      binary messages are frames deflated by themselves (RFC 1951)
 *
 * All text and binary messages are `frames`. Compressed messages (RFC 7692) are read if the header asks for them without
 * context takeover.
 */
#define _GNU_SOURCE
struct own {};
#include "clients.h"
#include "inflate.h"

static int deflated;

static void send_frame(const struct connection *connection, uint8_t opcode, const uint8_t *payload, size_t length) {
  static uint8_t frame[REQUEST_BYTES + 8];
  size_t head = 2;
  frame[0] = 0x80 | opcode;
  if (length < 126) {
    frame[1] = (uint8_t)(0x80 | length);
  } else {
    frame[1] = 0x80 | 126;
    frame[2] = (uint8_t)(length >> 8);
    frame[3] = (uint8_t)length;
    head = 4;
  }
  /* A mask of zeros is a valid mask and leaves the payload readable in a packet dump. */
  memset(frame + head, 0, 4);
  memcpy(frame + head + 4, payload, length);
  write_all(connection->fd, (const char *)frame, head + 4 + length);
}

static void begin(struct connection *connection) {
  send_get(connection,
           "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n",
           "");
}

/* Reads the handshake's answer; the bytes it took, 0 while it is incomplete. */
static size_t take_handshake(struct connection *connection, const uint8_t *bytes, size_t length) {
  const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  if (memcmp(bytes, "HTTP/1.1 101", 12) != 0)
    fail("the server refused connection %d: %.*s", connection->number, (int)(length > 400 ? 400 : length), bytes);
  if (options.first != NULL) {
    char frame[REQUEST_BYTES];
    size_t size = fill(frame, sizeof frame, options.first, connection->number);
    send_frame(connection, 1, (const uint8_t *)frame, size);
  }
  become_open(connection);
  return (size_t)(end - bytes) + 4;
}

static void count_packed(struct connection *connection, const uint8_t *payload, size_t length, uint64_t now) {
  static struct inflater inflater;
  const uint8_t *text;
  size_t size;
  inflater_reset(&inflater);
  inflate_blocks(&inflater, payload, length, &text, &size);
  if (size == 0) fail("a compressed message cannot be read");
  count_frame(connection, text, size, 1, now);
}

/* Takes every whole frame; the bytes it took. */
static size_t take_frames(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  uint64_t now = monotonic_ns();
  while (length - taken >= 2) {
    const uint8_t *frame = bytes + taken;
    size_t left = length - taken, head = 2;
    uint64_t size = frame[1] & 127;
    if (size == 126) {
      if (left < 4) break;
      size = (uint64_t)frame[2] << 8 | frame[3];
      head = 4;
    } else if (size == 127) {
      if (left < 10) break;
      size = 0;
      for (int i = 0; i < 8; i++) size = size << 8 | frame[2 + i];
      head = 10;
    }
    if (left < head + size) break;
    uint8_t opcode = frame[0] & 15;
    if (opcode <= 2 && ((frame[0] & 0x40) || (opcode == 2 && deflated)))
      count_packed(connection, frame + head, size, now);
    else if (opcode <= 2)
      count_frame(connection, frame + head, size, frame[0] >> 7, now);
    else if (opcode == 9)
      send_frame(connection, 10, frame + head, size);
    else if (opcode == 8)
      fprintf(stderr, "close frame: %.*s\n", (int)(size > 2 ? size - 2 : 0), frame + head + 2);
    taken += head + size;
  }
  return taken;
}

static size_t take(struct connection *connection, const uint8_t *bytes, size_t length) {
  size_t taken = 0;
  if (connection->state == OPENING) taken = take_handshake(connection, bytes, length);
  if (connection->state == OPEN) taken += take_frames(connection, bytes + taken, length - taken);
  return taken;
}

static void reset_own(void) {}

static void report_own(void) {}

static void obey_own(const char *word) { fail("unknown word: %s", word); }

int main(int count, char **values) {
  deflated = atoi(option(count, values, "deflated", "0"));
  run_clients(count, values);
  return 0;
}
