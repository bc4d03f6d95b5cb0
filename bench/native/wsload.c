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
#include "websocket.h"

static int deflated;

static void begin(struct connection *connection) { send_upgrade(connection); }

static void count_packed(struct connection *connection, const uint8_t *payload, size_t length, uint64_t now) {
  static struct inflater inflater;
  const uint8_t *text;
  size_t size;
  inflater_reset(&inflater);
  inflate_blocks(&inflater, payload, length, &text, &size);
  if (size == 0) fail("a compressed message cannot be read");
  count_frame(connection, text, size, 1, now);
}

static void take_message(struct connection *connection, uint8_t opcode, const uint8_t *payload, size_t size, int final,
                         uint64_t now) {
  if ((opcode & 0x40) || (opcode == 2 && deflated)) count_packed(connection, payload, size, now);
  else count_frame(connection, payload, size, final, now);
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
