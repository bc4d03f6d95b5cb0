/*
 * streamload: many clients that only listen; clients.h tells the options and what it prints.
 *
 *   --form sse       GET, and each `data:` line is a frame (one line per event)
 *   --form lines     GET, and each line that is not empty is a frame
 *   --form tcp       raw TCP: sends --first, and each line that is not empty is a frame
 *
 * `compressed` counts the connections whose body is gzip; it is read like any other. A body that ends counts as closed.
 */
#define _GNU_SOURCE
#include "inflate.h"
#include "response.h"

#include <stddef.h>

/* Filled below, where `struct kept` is known. */
struct body;
struct own {
  struct response response;
  struct body *body;
};

#include "clients.h"
#include "http.h"

struct body {
  struct kept text;   /* the start of a line */
  struct kept packed; /* the start of a compressed block */
  int gzip_head_taken;
  struct inflater inflater;
};

static enum { SSE, LINES, TCP } form;
static uint64_t compressed;
static uint8_t text_buffer[RECEIVE_BYTES + INFLATED_BYTES], packed_buffer[RECEIVE_BYTES * 2];

static void begin(struct connection *connection) {
  if (form != TCP) {
    send_get(connection, form == SSE ? "Accept: text/event-stream\r\n" : "", "");
    return;
  }
  if (options.first != NULL) {
    char text[REQUEST_BYTES];
    write_all(connection->fd, text, fill(text, sizeof text, options.first, connection->number));
  }
  /* Otherwise with the first answer: connecting is paced by it, and the listener's backlog does not overflow. */
  if (options.ready == NULL) become_open(connection);
}

static void take_line(struct connection *connection, const uint8_t *line, size_t length, uint64_t now) {
  if (length > 0 && line[length - 1] == '\r') length--;
  if (form != SSE) {
    if (length > 0) count_frame(connection, line, length, 1, now);
  } else if (length > 5 && memcmp(line, "data:", 5) == 0) {
    size_t head = line[5] == ' ' ? 6 : 5;
    count_frame(connection, line + head, length - head, 1, now);
  }
}

/* Takes every whole line; the bytes it took. */
static size_t take_lines(struct connection *connection, const uint8_t *text, size_t length) {
  uint64_t now = monotonic_ns();
  size_t taken = 0;
  const uint8_t *end;
  while ((end = memchr(text + taken, '\n', length - taken)) != NULL) {
    size_t size = (size_t)(end - text) - taken;
    take_line(connection, text + taken, size, now);
    taken += size + 1;
  }
  return taken;
}

static void take_text(struct connection *connection, const uint8_t *text, size_t length) {
  struct kept *kept = &connection->own.body->text;
  if (kept->length > 0) {
    length = join(kept, text_buffer, sizeof text_buffer, text, length);
    text = text_buffer;
  }
  size_t taken = take_lines(connection, text, length);
  keep(kept, text + taken, length - taken);
}

static void take_packed(struct connection *connection, const uint8_t *bytes, size_t length) {
  struct body *body = connection->own.body;
  size_t total = join(&body->packed, packed_buffer, sizeof packed_buffer, bytes, length), taken = 0, size;
  const uint8_t *text;
  if (!body->gzip_head_taken) {
    taken = gzip_head(packed_buffer, total);
    body->gzip_head_taken = taken > 0;
  }
  if (body->gzip_head_taken) {
    taken += inflate_blocks(&body->inflater, packed_buffer + taken, total - taken, &text, &size);
    take_text(connection, text, size);
    /* Behind the last block stand a checksum and a length. */
    if (body->inflater.ended) taken = total;
  }
  keep(&body->packed, packed_buffer + taken, total - taken);
}

static void head_taken(struct connection *connection, const uint8_t *head, size_t length) {
  struct response *response = &connection->own.response;
  if (response->status != 200)
    fail("the server refused connection %d: %.*s", connection->number, (int)(length > 600 ? 600 : length), head);
  /* An inflater is large; only those that need one get it. */
  size_t size = response->gzip ? sizeof(struct body) : offsetof(struct body, inflater);
  connection->own.body = calloc(1, size);
  if (connection->own.body == NULL) fail("out of memory");
  compressed += (uint64_t)response->gzip;
  become_open(connection);
}

static void take_body(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (connection->own.response.gzip) take_packed(connection, bytes, length);
  else take_text(connection, bytes, length);
}

static size_t take(struct connection *connection, const uint8_t *bytes, size_t length) {
  if (form == TCP) {
    if (connection->state == OPENING) become_open(connection);
    return take_lines(connection, bytes, length);
  }
  size_t taken = take_response(connection, &connection->own.response, bytes, length);
  if (connection->own.response.part == DONE) close_connection(connection);
  return taken;
}

static void reset_own(void) {}

static void report_own(void) { printf(",\"compressed\":%llu", (unsigned long long)compressed); }

static void obey_own(const char *word) { fail("unknown word: %s", word); }

int main(int count, char **values) {
  const char *name = required_option(count, values, "form");
  if (strcmp(name, "sse") == 0) form = SSE;
  else if (strcmp(name, "lines") == 0) form = LINES;
  else if (strcmp(name, "tcp") == 0) form = TCP;
  else fail("--form is sse, lines or tcp");
  run_clients(count, values);
  return 0;
}
