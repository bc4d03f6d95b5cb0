<?php
// Reads a channel for ever, and loses nothing: it keeps its position, and comes back with it.
//
//     php examples/php-socket/reader.php [count]            # ends after so many messages

$left = (int) ($argv[1] ?? PHP_INT_MAX);
$port = (int) ($argv[2] ?? 8081);
$epoch = null;
$offset = 0;

for ($attempt = 0; $left > 0; $attempt++) {
    if ($attempt > 0) {
        sleep(min($attempt, 10));
    }
    $stream = @stream_socket_client("tcp://127.0.0.1:$port", $code, $reason, 5);
    if ($stream === false) {
        fwrite(STDERR, "cannot connect: $reason; trying again\n");
        continue;
    }
    // Silence is no end here: without this PHP gives up a read after a minute.
    stream_set_timeout($stream, PHP_INT_MAX >> 32);
    $since = $epoch === null ? 'earliest' : ['epoch' => $epoch, 'offset' => $offset];
    fwrite($stream, json_encode(['type' => 'subscribe', 'id' => 1, 'channel' => 'php:chat', 'since' => $since]) . "\n");

    while ($left > 0 && ($line = fgets($stream)) !== false) {
        $frame = json_decode($line, true);
        switch ($frame['type'] ?? '') {
            case 'subscribed':
                $attempt = 0;
                $epoch = $frame['epoch'];
                $offset = $frame['offset'];
                if (!$frame['recovered']) {
                    fwrite(STDERR, "some messages are gone for good\n");
                }
                break;
            case 'message':
                $offset = $frame['offset'];
                echo "{$frame['offset']}: {$frame['data']}\n";
                $left--;
                break;
            case 'error':
                fwrite(STDERR, "refused: {$frame['message']}\n");
                exit(1);
            case 'disconnect':
                if (!$frame['reconnect']) {
                    fwrite(STDERR, "sent away: {$frame['reason']}\n");
                    exit(1);
                }
        }
    }
    fclose($stream);
}
