#include "cli/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static int woken[2] = {-1, -1}; /* a pipe that a signal writes to: any thread may get it, at any moment */

static void on_signal(int number)
{
    int before = errno;
    (void)number;
    interrupted = 1;
    ssize_t written = write(woken[1], "", 1); /* a full pipe wakes as well */
    (void)written;
    errno = before;
}

static void catch_with(int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(SIGINT, &action, NULL);
}

void interrupt_catch(void)
{
    if (woken[0] < 0 && pipe2(woken, O_NONBLOCK | O_CLOEXEC) != 0)
        woken[0] = woken[1] = -1; /* then a Ctrl-C just before a read waits for the line's end */
    catch_with(SA_RESTART);
}

bool interrupt_take(void)
{
    char bytes[64];
    while (read(woken[0], bytes, sizeof bytes) > 0)
        ;
    bool was = interrupted;
    interrupted = 0;
    return was;
}

void interrupt_wait(int fd)
{
    struct pollfd either[2] = {{.fd = fd, .events = POLLIN}, {.fd = woken[0], .events = POLLIN}};
    poll(either, 2, -1);
}

ssize_t interrupt_getline(char **line, size_t *room, FILE *from)
{
    catch_with(0);
    ssize_t length = getline(line, room, from);
    catch_with(SA_RESTART);
    return length;
}
