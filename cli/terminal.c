#include "cli/terminal.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static bool has(const char *name, const char *part)
{
    return strstr(variable(name), part) != NULL;
}

enum show_setting terminal_show(enum show_setting wanted)
{
    if (!isatty(STDOUT_FILENO))
        return SHOW_OFF;
    if (wanted != SHOW_AUTO)
        return wanted;
    if (strcmp(variable("TERM"), "dumb") == 0 || !*variable("TERM"))
        return SHOW_OFF;
    if (*variable("TMUX") || has("TERM", "screen")) /* they pass no pictures on, unless told to */
        return SHOW_BLOCKS;
    if (*variable("KITTY_WINDOW_ID") || has("TERM", "kitty") || has("TERM", "ghostty") ||
        has("TERM_PROGRAM", "ghostty"))
        return SHOW_KITTY;
    if (has("TERM_PROGRAM", "iTerm") || has("LC_TERMINAL", "iTerm") || has("TERM_PROGRAM", "WezTerm") ||
        has("TERM_PROGRAM", "mintty"))
        return SHOW_ITERM2;
    if (has("TERM", "sixel") || has("TERM", "mlterm") || has("TERM", "contour") ||
        strncmp(variable("TERM"), "foot", 4) == 0)
        return SHOW_SIXEL;
    return SHOW_BLOCKS;
}

int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void terminal_make_safe(const char *text, size_t length, struct buffer *out)
{
    size_t n;
    for (size_t i = 0; i < length; i += n) {
        if (utf8_look(text + i, length - i, &n) != UTF8_WHOLE) {
            buffer_append_text(out, UTF8_REPLACEMENT);
            continue;
        }
        uint32_t c = utf8_get(text + i, &n);
        bool reorders = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
        if (c < 0x20 && c != '\t' && c != '\n')
            utf8_append(out, 0x2400 + c);
        else if (c == 0x7F)
            utf8_append(out, 0x2421);
        else if ((c >= 0x80 && c < 0xA0) || reorders)
            buffer_append_text(out, UTF8_REPLACEMENT);
        else
            buffer_append(out, text + i, n);
    }
}
