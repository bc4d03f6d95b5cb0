/* How far a connection has read an HTTP response; http.h reads it. */
#ifndef LONGWIRE_BENCH_RESPONSE_H
#define LONGWIRE_BENCH_RESPONSE_H

#include <stdint.h>

enum part { HEAD, SIZED, CHUNK_HEAD, CHUNK, CHUNK_END, TRAILER, UNTIL_CLOSE, DONE };

struct response {
  enum part part;
  int status, gzip;
  uint64_t left; /* of the body or the chunk */
};

#endif
