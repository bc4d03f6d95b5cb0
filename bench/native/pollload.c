/*
 * pollload: many clients with a waiting long poll each, on keep-alive connections; clients.h tells the options and what it
 * prints.
 *
 *   --path PATH      as in clients.h, with a query: `since=CURSOR` is appended from the second poll on
 *   --repoll 0|1     whether an answer is followed by the next poll (default 1)
 *
 * A connection is ready when its second poll, the first that waits, is sent. A line `poll` on the standard input makes
 * every connection that waits for nothing poll; after a refusal none polls by itself. `repoll 0` and `repoll 1` change the option.
 *
 * `answers` are all answers since the reset, `empty` those without a stamp, `refused` those of another status than 200,
 * `waiting` the polls open now. `repeats` are publications whose offset is not above the highest that the connection has
 * seen: it says something with one channel per connection. An answer with the frame `disconnect` counts as closed.
 */
#define _GNU_SOURCE
#include "response.h"

#define CURSOR_BYTES_MAX 4097
#define ANSWER_BYTES_MAX (4 << 20)

struct own {
  struct response response;
  char *cursor;
  uint64_t highest_offset;
  uint32_t have; /* of the body */
  uint8_t *body;
  int waiting;
};

#include "clients.h"
#include "http.h"

static int repoll;
static struct {
  uint64_t answers, empty, refused, repeats;
} polls;

static void poll_once(struct connection *connection) {
  char since[CURSOR_BYTES_MAX + 32] = "";
  struct own *own = &connection->own;
  if (own->cursor != NULL) snprintf(since, sizeof since, "&since=%s", own->cursor);
  own->response = (struct response){.part = HEAD};
  own->waiting = 1;
  send_get(connection, "", since);
}

static void begin(struct connection *connection) { poll_once(connection); }

static void head_taken(struct connection *connection, const uint8_t *head, size_t length) {
  (void)connection, (void)head, (void)length;
}

static void take_body(struct connection *connection, const uint8_t *bytes, size_t length) {
  struct own *own = &connection->own;
  if (own->have + length > ANSWER_BYTES_MAX) fail("an answer is larger than %d bytes", ANSWER_BYTES_MAX);
  own->body = realloc(own->body, own->have + length + 1);
  if (own->body == NULL) fail("out of memory");
  memcpy(own->body + own->have, bytes, length);
  own->have += (uint32_t)length;
  own->body[own->have] = 0;
}

static void take_cursor(struct own *own, const char *answer) {
  const char *from = strstr(answer, "\"cursor\":");
  if (from == NULL) fail("an answer without a cursor: %.300s", answer);
  for (from += 9; *from == ' ' || *from == '"'; from++) continue;
  size_t length = strcspn(from, "\"");
  if (length >= CURSOR_BYTES_MAX) fail("a cursor of %zu bytes", length);
  free(own->cursor);
  own->cursor = strndup(from, length);
}

/* The offset of a publication stands before its data. */
static void count_offset(struct own *own, const char *from, const char *stamp) {
  const char *found = NULL;
  for (const char *at = from; (at = memmem(at, (size_t)(stamp - at), "\"offset\":", 9)) != NULL; at += 9) found = at;
  if (found == NULL) return;
  uint64_t offset = strtoull(found + 9, NULL, 10);
  if (offset <= own->highest_offset) polls.repeats++;
  else own->highest_offset = offset;
}

static void take_answer(struct connection *connection) {
  struct own *own = &connection->own;
  char *answer = own->have > 0 ? (char *)own->body : "";
  uint64_t now = monotonic_ns(), before = counters.messages;
  own->waiting = 0;
  polls.answers++;
  if (own->response.status != 200) {
    if (connection->state == OPENING)
      fail("the server refused connection %d: %d %.400s", connection->number, own->response.status, answer);
    if (polls.refused++ == 0) fprintf(stderr, "refused: %d %.400s\n", own->response.status, answer);
    return;
  }
  counters.frames++;
  counters.bytes += own->have;
  take_cursor(own, answer);
  for (const char *from = answer, *stamp; (stamp = strstr(from, "\"t\":")) != NULL; from = stamp + 4) {
    count_offset(own, from, stamp);
    count_message((const uint8_t *)stamp, now);
  }
  if (counters.messages == before) polls.empty++;
}

static size_t take(struct connection *connection, const uint8_t *bytes, size_t length) {
  struct own *own = &connection->own;
  if (!own->waiting) fail("the server sent something that nobody asked for: %.*s", (int)(length > 200 ? 200 : length), bytes);
  size_t taken = take_response(connection, &own->response, bytes, length);
  if (own->response.part != DONE) return taken;
  int first = connection->state == OPENING;
  take_answer(connection);
  int ended = own->have > 0 && strstr((char *)own->body, "\"type\":\"disconnect\"") != NULL;
  free(own->body);
  own->body = NULL;
  own->have = 0;
  if (first) {
    poll_once(connection);
    become_open(connection);
  } else if (ended) {
    close_connection(connection);
  } else if (repoll && own->response.status == 200) {
    poll_once(connection);
  }
  return taken;
}

static void reset_own(void) { memset(&polls, 0, sizeof polls); }

static void report_own(void) {
  uint64_t waiting = 0;
  for (int i = 0; i < options.connections; i++)
    waiting += connections[i].state == OPEN && connections[i].own.waiting;
  printf(",\"answers\":%llu,\"empty\":%llu,\"refused\":%llu,\"repeats\":%llu,\"waiting\":%llu",
         (unsigned long long)polls.answers, (unsigned long long)polls.empty, (unsigned long long)polls.refused,
         (unsigned long long)polls.repeats, (unsigned long long)waiting);
}

static void poll_idle(void) {
  for (int i = 0; i < options.connections; i++)
    if (connections[i].state == OPEN && !connections[i].own.waiting) poll_once(&connections[i]);
}

static void obey_own(const char *word) {
  if (strcmp(word, "poll") == 0) poll_idle();
  else if (strcmp(word, "repoll 0") == 0) repoll = 0;
  else if (strcmp(word, "repoll 1") == 0) repoll = 1;
  else fail("unknown word: %s", word);
}

int main(int count, char **values) {
  repoll = atoi(option(count, values, "repoll", "1"));
  run_clients(count, values);
  return 0;
}
