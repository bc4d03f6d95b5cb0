<?php
// Request and response, then the end: publishes one message and waits until the gateway has it.
//
//     php examples/php-socket/publisher.php "hello from PHP"

$message = $argv[1] ?? 'hello from PHP';
$port = (int) ($argv[2] ?? 8081);

$socket = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
if (!@socket_connect($socket, '127.0.0.1', $port)) {
    fwrite(STDERR, 'cannot connect: ' . socket_strerror(socket_last_error($socket)) . "\n");
    exit(1);
}

// The key makes it safe to try again: the same key within five minutes is stored once.
$command = [
    'type' => 'publish',
    'id' => 1,
    'channel' => 'php:chat',
    'data' => $message,
    'key' => bin2hex(random_bytes(8)),
];
$line = json_encode($command, JSON_UNESCAPED_UNICODE) . "\n";
// A socket may take only a part at a time.
for ($sent = 0; $sent < strlen($line);) {
    $taken = socket_write($socket, substr($line, $sent));
    if ($taken === false) {
        fwrite(STDERR, 'cannot write: ' . socket_strerror(socket_last_error($socket)) . "\n");
        exit(1);
    }
    $sent += $taken;
}

// One line, one frame. The first is `connected`; the one with our id is the answer. PHP_NORMAL_READ ends at \n.
while (($line = socket_read($socket, 65536, PHP_NORMAL_READ)) !== false && $line !== '') {
    $frame = json_decode($line, true);
    if (($frame['id'] ?? null) !== 1) {
        continue;
    }
    socket_close($socket);
    if ($frame['type'] !== 'published') {
        fwrite(STDERR, "refused: {$frame['message']}\n");
        exit(1);
    }
    echo "published as number {$frame['offset']}\n";
    exit(0);
}
fwrite(STDERR, "the gateway went away before it answered\n");
exit(1);
