/* secret.c: finds the token. The command line is no place for it: every user of the machine
 * can read it there.
 */
#include "secret.h"
#include "text.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

aq_status secret_find(const options *o, char token[AQ_TOKEN_SIZE], aq_fault *fault)
{
    token[0] = '\0';
    if (o->token_file != NULL) {
        return aq_token_read(o->token_file, token, fault);
    }
    const char *text = getenv("ACEQUIA_TOKEN");
    if (text == NULL || text[0] == '\0') {
        return AQ_OK;
    }
    if (strlen(text) >= AQ_TOKEN_SIZE) {
        return aq_fault_set(fault, AQ_USAGE, "ACEQUIA_TOKEN is longer than %d bytes",
                            AQ_TOKEN_SIZE - 1);
    }
    strcpy(token, text);
    return AQ_OK;
}

bool secret_ask(const char *whose, char token[AQ_TOKEN_SIZE])
{
    struct termios shown, hidden;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    token[0] = '\0';
    if (fd < 0 || tcgetattr(fd, &shown) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    char shown_name[1024];
    text_escape(whose, shown_name, sizeof shown_name);
    dprintf(fd, "Token for %s: ", shown_name);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(fd, TCSAFLUSH, &hidden);
    ssize_t size = read(fd, token, AQ_TOKEN_SIZE - 1); /* a terminal gives one line */
    tcsetattr(fd, TCSAFLUSH, &shown);
    token[size > 0 ? size : 0] = '\0';
    token[strcspn(token, "\n")] = '\0';
    dprintf(fd, "\n");
    close(fd);
    return token[0] != '\0';
}
