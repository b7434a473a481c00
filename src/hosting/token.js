var crypto = require('crypto');

// SHA-256 of each token that is accepted, as hexadecimal digits, separated by commas.
var accepted = '${TokenHashes}'.split(',');

function handler(event) {
    var request = event.request;
    var sent = request.headers.authorization ? request.headers.authorization.value : '';
    if (sent.slice(0, 7) === 'Bearer ') {
        var hash = crypto.createHash('sha256').update(sent.slice(7)).digest('hex');
        if (accepted.indexOf(hash) >= 0) {
            // S3 would take it for a signature of its own.
            delete request.headers.authorization;
            return request;
        }
    }
    return {
        statusCode: 401,
        statusDescription: 'Unauthorized',
        headers: { 'cache-control': { value: 'no-store' } }
    };
}
