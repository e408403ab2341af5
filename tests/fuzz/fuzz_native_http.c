/* A head in pieces is the same head, and whatever it says is answered within the room. The
 * first byte chooses the side and the size of the pieces. */
#include "host/native/http.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static aq_http_result read_in(aq_http *http, const uint8_t *data, size_t size, size_t piece,
                              size_t *used)
{
    aq_http_result result = AQ_HTTP_MORE;
    *used = 0;
    while (result == AQ_HTTP_MORE && *used < size) {
        size_t left = size - *used, now = piece < left ? piece : left, taken = 0;
        result = aq_http_read(http, data + *used, now, &taken);
        *used += taken;
        if (result == AQ_HTTP_MORE && taken != now) {
            abort();
        }
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    bool response = data[0] & 1;
    size_t piece = 1 + (data[0] >> 1), whole_used, pieces_used;
    aq_http whole, pieces;
    aq_http_init(&whole, response);
    aq_http_init(&pieces, response);
    aq_http_result result = read_in(&whole, data + 1, size - 1, size, &whole_used);
    if (read_in(&pieces, data + 1, size - 1, piece, &pieces_used) != result) {
        abort();
    }
    if (result == AQ_HTTP_DONE &&
        (whole_used != pieces_used || strcmp(whole.target, pieces.target) != 0 ||
         strcmp(whole.key, pieces.key) != 0 || strcmp(whole.accept, pieces.accept) != 0)) {
        abort();
    }
    if (response) {
        (void)aq_http_response_problem(&whole, "dGhlIHNhbXBsZSBub25jZQ==");
    } else {
        char out[AQ_HTTP_TEXT_SIZE];
        size_t out_size = 0;
        (void)aq_http_answer_put(&whole, result, false, out, &out_size);
        if (out_size > sizeof out) {
            abort();
        }
    }
    return 0;
}
