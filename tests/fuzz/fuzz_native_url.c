/* What parses, prints; what was printed parses to the same. */
#include "host/native/url.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    static aq_url url, again;
    static char printed[AQ_URL_SIZE];
    memset(&url, 0, sizeof url);
    if (aq_url_parse(text, &url) == NULL) {
        aq_url_print(&url, printed);
        if (aq_url_parse(printed, &again) != NULL || strcmp(url.host, again.host) != 0 ||
            url.port != again.port || url.tls != again.tls || url.pinned != again.pinned ||
            strcmp(url.folder, again.folder) != 0 ||
            (url.pinned && memcmp(url.fingerprint, again.fingerprint, 32) != 0)) {
            abort();
        }
    }
    free(text);
    return 0;
}
