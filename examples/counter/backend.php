<?php
// The backend in PHP: asked about each message, it counts it. backend.ts is the same in TypeScript.

/** With a session the key is that session's, and goes with it. */
function add(string $key, ?string $session = null): int
{
    $options = ['http' => [
        'method' => 'POST',
        'header' => ['Authorization: Bearer ' . getenv('LONGWIRE_API_KEY'), 'Content-Type: application/json'],
        'content' => json_encode(['add' => 1] + ($session === null ? [] : ['session' => $session])),
    ]];
    $url = getenv('LONGWIRE_URL') . '/api/state/' . rawurlencode($key);
    $body = file_get_contents($url, false, stream_context_create($options));
    if ($body === false) {
        http_response_code(500);
        exit;
    }

    return json_decode($body, true)['value'];
}

if (!hash_equals('Bearer ' . getenv('LONGWIRE_HOOK_SECRET'), $_SERVER['HTTP_AUTHORIZATION'] ?? '')) {
    http_response_code(401);
    exit;
}

['session' => $session, 'data' => $text] = json_decode(file_get_contents('php://input'), true);
$count = add("count:$session", $session);
$total = add('total');
header('Content-Type: application/json');
echo json_encode(['allow' => true, 'data' => ['text' => $text, 'count' => $count, 'total' => $total]]);
