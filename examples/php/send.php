<?php
// The back end of index.html: `php -S 127.0.0.1:8001 -t examples/php`.
$gantcha = getenv('GANTCHA_URL') ?: 'http://127.0.0.1:8000';
$asked = file_get_contents("$gantcha/siteverify", false, stream_context_create(['http' => [
    'method' => 'POST',
    'header' => 'Content-Type: application/x-www-form-urlencoded',
    'content' => http_build_query([
        'secret' => getenv('CAPTCHA_SITE_SECRET'),
        'response' => $_POST['gantcha-response'] ?? '',
    ]),
]]));
if (!$asked || !json_decode($asked)->success) {
    exit('Please solve the captcha.');
}
echo 'Thank you for your ' . strlen($_POST['comment']) . ' characters.';
