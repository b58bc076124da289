/* For tests of what ends the program. */
#ifndef VARGPT_TESTS_UNIT_CUDA_EXPECT_END_H
#define VARGPT_TESTS_UNIT_CUDA_EXPECT_END_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs it in a child; fails unless that was ended by a signal (a sanitizer's exit counts) and said so. A
 * failed assertion ends the child too, with another text: it must not go on there with the tests that follow.
 */
static void assert_ends(void (*what)(int), int argument, const char *says)
{
    int pipe_ends[2], status;
    char text[8192];
    size_t length = 0;
    assert_int_equal(pipe(pipe_ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], 2);
        close(pipe_ends[0]);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        what(argument);
        _exit(0);
    }
    close(pipe_ends[1]);
    for (ssize_t n; (n = read(pipe_ends[0], text + length, sizeof text - 1 - length)) > 0;)
        length += (size_t)n;
    text[length] = 0;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        fail_msg("went on: %s", says);
    if (!strstr(text, says) && !strstr(text, "AddressSanitizer"))
        fail_msg("said \"%s\", not \"%s\"", text, says);
}

#endif
