<?php
// The shortest client there is: a line is a message, in both directions. No JSON, no answers, no position.
//
//     php examples/php-socket/lines.php "hello"             # says it, and prints the next line that is said

$port = (int) ($argv[2] ?? 9999);
$stream = @fsockopen('127.0.0.1', $port, $code, $reason, 5);
if ($stream === false) {
    fwrite(STDERR, "cannot connect: $reason\n");
    exit(1);
}
// A line break would make two messages of it.
fwrite($stream, str_replace(["\r", "\n"], ' ', $argv[1] ?? 'hello') . "\n");
echo fgets($stream);
fclose($stream);
