/*
 * writeloop: the least a server can do for a fan-out, as the yardstick of the others. One write(2) per subscriber and
 * publication, the bytes made once; no channels, no history, no checks, no queue (a write to a subscriber blocks).
 *
 *   --port P        0 takes a free one; prints `PORT n`
 *
 * A request with `Upgrade` becomes a subscriber, and so does one with `Accept: text/event-stream`, whose answer is a chunked
 * stream of events; the body of any other request goes to all subscribers. Ends when its standard input ends.
 */
#define _GNU_SOURCE
#include "support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define REQUEST_BYTES 65536

struct client {
  int fd;
  size_t have;
  char *request;
};

struct subscriber {
  int fd;
  int events; /* gets server-sent events, not WebSocket frames */
};

/* The head makes the longest form longer than the body by less than this. */
#define FORM_BYTES 64

static struct subscriber *subscribers;
static int subscriber_count, subscriber_room;
static int epoll;

static void subscribe(struct client *client, int events) {
  /* wsload always sends the sample key of RFC 6455 section 1.3, so the answer is the one printed there. */
  static const char upgraded[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  static const char streaming[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";
  const char *answer = events ? streaming : upgraded;
  epoll_ctl(epoll, EPOLL_CTL_DEL, client->fd, NULL);
  fcntl(client->fd, F_SETFL, 0);
  if (!write_all(client->fd, answer, strlen(answer))) {
    close(client->fd);
  } else {
    if (subscriber_count == subscriber_room) {
      subscriber_room = subscriber_room * 2 + 1024;
      subscribers = realloc(subscribers, (size_t)subscriber_room * sizeof *subscribers);
      if (subscribers == NULL) fail("out of memory");
    }
    subscribers[subscriber_count++] = (struct subscriber){.fd = client->fd, .events = events};
  }
  free(client->request);
  free(client);
}

static size_t make_frame(char *frame, const char *body, size_t length) {
  size_t head = 2;
  frame[0] = (char)0x81;
  if (length < 126) {
    frame[1] = (char)length;
  } else {
    frame[1] = 126;
    frame[2] = (char)(length >> 8);
    frame[3] = (char)length;
    head = 4;
  }
  memcpy(frame + head, body, length);
  return head + length;
}

/* One chunk with one event. */
static size_t make_event(char *chunk, const char *body, size_t length) {
  size_t head = (size_t)sprintf(chunk, "%zx\r\ndata: ", length + 8);
  memcpy(chunk + head, body, length);
  memcpy(chunk + head + length, "\n\n\r\n", 4);
  return head + length + 4;
}

static void publish(const char *body, size_t length) {
  static char frame[REQUEST_BYTES + FORM_BYTES], event[REQUEST_BYTES + FORM_BYTES];
  size_t frame_bytes = make_frame(frame, body, length), event_bytes = make_event(event, body, length);
  for (int i = 0; i < subscriber_count; i++) {
    const struct subscriber *to = &subscribers[i];
    if (write_all(to->fd, to->events ? event : frame, to->events ? event_bytes : frame_bytes)) continue;
    close(to->fd);
    subscribers[i--] = subscribers[--subscriber_count];
  }
}

static void drop(struct client *client) {
  close(client->fd);
  free(client->request);
  free(client);
}

static void receive(struct client *client) {
  ssize_t got = read(client->fd, client->request + client->have, REQUEST_BYTES - 1 - client->have);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    drop(client);
    return;
  }
  client->have += (size_t)got;
  client->request[client->have] = 0;
  char *end = strstr(client->request, "\r\n\r\n");
  if (end == NULL) return;
  if (strcasestr(client->request, "\r\nupgrade:") != NULL) {
    subscribe(client, 0);
    return;
  }
  if (strcasestr(client->request, "\r\naccept: text/event-stream") != NULL) {
    subscribe(client, 1);
    return;
  }
  char *size = strcasestr(client->request, "\r\ncontent-length:");
  size_t length = size != NULL && size < end ? strtoul(size + 17, NULL, 10) : 0;
  size_t head = (size_t)(end - client->request) + 4;
  if (head + length >= REQUEST_BYTES) fail("a publication is too large for the write loop");
  if (client->have < head + length) return;
  publish(client->request + head, length);
  static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
  client->have = 0;
  if (!write_all(client->fd, answer, sizeof answer - 1)) drop(client);
}

static void accept_client(int listener) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct client *client = calloc(1, sizeof *client);
  if (client == NULL || (client->request = malloc(REQUEST_BYTES)) == NULL) fail("out of memory");
  client->fd = fd;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **values) {
  struct sockaddr_in address = loopback(0x7f000001, atoi(option(count, values, "port", "0")));
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  raise_descriptor_limit();
  if (bind(listener, (void *)&address, sizeof address) < 0 || listen(listener, 4096) < 0)
    fail("listen: %s", strerror(errno));
  getsockname(listener, (void *)&address, &size);
  printf("PORT %d\n", ntohs(address.sin_port));
  fflush(stdout);
  epoll = epoll_create1(0);
  int markers[2]; /* addresses that tell the listener and the standard input from clients */
  struct epoll_event listening = {.events = EPOLLIN, .data.ptr = &markers[0]};
  struct epoll_event control = {.events = EPOLLIN, .data.ptr = &markers[1]};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &control);
  for (;;) {
    struct epoll_event events[64];
    int ready = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr == &markers[0])
        accept_client(listener);
      else if (events[i].data.ptr == &markers[1])
        return 0;
      else
        receive(events[i].data.ptr);
    }
  }
}
