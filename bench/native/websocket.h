/*
 * The client's side of a WebSocket, for programs that include clients.h before. They define `take_message`, and may have `lost` called
 * where a handshake is refused.
 */
#ifndef LONGWIRE_BENCH_WEBSOCKET_H
#define LONGWIRE_BENCH_WEBSOCKET_H

/* A text or binary message, or with a `final` of 0 a part of one. `opcode` is of the first byte, with its compression bit (0x40). */
static void take_message(struct connection *connection, uint8_t opcode, const uint8_t *payload, size_t size, int final,
                         uint64_t now);

static inline void send_frame(const struct connection *connection, uint8_t opcode, const uint8_t *payload, size_t length) {
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

static inline void send_upgrade(struct connection *connection) {
  send_get(connection,
           "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
           "Sec-WebSocket-Version: 13\r\n",
           "");
}

/* Reads the handshake's answer; the bytes it took, 0 while it is incomplete. */
static inline size_t take_handshake(struct connection *connection, const uint8_t *bytes, size_t length) {
  const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  if (memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
    if (lost == NULL)
      fail("the server refused connection %d: %.*s", connection->number, (int)(length > 400 ? 400 : length), bytes);
    lose(connection);
    return length;
  }
  if (options.first != NULL) {
    char frame[REQUEST_BYTES];
    size_t size = fill(frame, sizeof frame, options.first, connection->number);
    send_frame(connection, 1, (const uint8_t *)frame, size);
  }
  become_open(connection);
  return (size_t)(end - bytes) + 4;
}

/* Takes every whole frame; the bytes it took. */
static inline size_t take_frames(struct connection *connection, const uint8_t *bytes, size_t length) {
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
    if (opcode <= 2)
      take_message(connection, frame[0] & 0x4f, frame + head, size, frame[0] >> 7, now);
    else if (opcode == 9)
      send_frame(connection, 10, frame + head, size);
    else if (opcode == 8 && lost == NULL)
      fprintf(stderr, "close frame: %.*s\n", (int)(size > 2 ? size - 2 : 0), frame + head + 2);
    taken += head + size;
  }
  return taken;
}

#endif
