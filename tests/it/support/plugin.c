/*
 * Stand-ins for a provider's executable, for the tests of --probe-protocol.
 * MODE, a name below, says what it does; BOOK is a file in which it leaves traces.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static void say(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* Holds a lock on BOOK, together with all that this process starts, until the last of them has ended. */
static void hold(void)
{
    int book = open(BOOK, O_RDWR | O_CREAT, 0600);
    if (book < 0 || flock(book, LOCK_EX) != 0 || write(book, "held", 4) != 4)
        exit(99);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

static int offered(const char *major)
{
    const char *offer = getenv("PLUGIN_PROTOCOL_VERSIONS");
    return offer && strstr(offer, major);
}

/* Speaks 5 and 6: the highest that is offered, else the lowest. */
static void both(void)
{
    say(offered("6") ? "1|6|unix|/tmp/x|grpc|\n" : "1|5|unix|/tmp/x|grpc|\n");
    wait_for_ever();
}

static void only_five(void)
{
    say("1|5|unix|/tmp/x|grpc|\n");
    wait_for_ever();
}

static void exits(void)
{
    fputs("first\nno configuration: \033[31m/etc/sample\n", stderr);
    exit(7);
}

static void crashes(void)
{
    raise(SIGKILL);
}

static void no_libraries(void)
{
    fputs("error while loading shared libraries: libsample.so\n", stderr);
    exit(127);
}

static void garbage(void)
{
    say("hello\n1|6|unix|/tmp/x|grpc|\n");
    wait_for_ever();
}

static void no_line_end(void)
{
    say("1|6|unix|/tmp/x|grpc|");
    exit(0);
}

static void endless(void)
{
    for (;;)
        if (fputs("xxxxxxxxxxxxxxxx", stdout) < 0)
            exit(1);
}

/* Writes to standard error without end, and still answers. */
static void noisy(void)
{
    int i;
    for (i = 0; i < 100000; i++)
        fputs("a line of a log\n", stderr);
    both();
}

static void silent(void)
{
    hold();
    fputs("waiting\n", stderr);
    wait_for_ever();
}

/* Ends without an answer; what it has started would live on, with its pipes. */
static void orphan(void)
{
    hold();
    if (fork() == 0)
        wait_for_ever();
    exit(3);
}

static void family(void)
{
    hold();
    if (fork() == 0) {
        if (fork() == 0)
            wait_for_ever();
        wait_for_ever();
    }
    signal(SIGTERM, SIG_IGN);
    both();
}

/* Leaves its group and keeps the pipes open. */
static void escapes(void)
{
    if (fork() == 0) {
        setsid();
        alarm(20);
        wait_for_ever();
    }
    exit(4);
}

/* Writes down what it has: environment, folder, standard input, descriptors. */
static void tells(void)
{
    FILE *book = fopen(BOOK, "w");
    char folder[4096], byte;
    int fd;
    for (char **variable = environ; *variable; variable++)
        fprintf(book, "env %s\n", *variable);
    fprintf(book, "cwd %s\n", getcwd(folder, sizeof folder));
    fprintf(book, "stdin %d\n", (int)read(0, &byte, 1));
    fprintf(book, "leads %d\n", getpgrp() == getpid());
    for (fd = 3; fd < 64; fd++)
        if (fd != fileno(book) && fcntl(fd, F_GETFD) >= 0)
            fprintf(book, "fd %d\n", fd);
    fclose(book);
    if (getenv("PLUGIN_PROTOCOL_VERSIONS"))
        both();
}

/* Makes a socket as go-plugin does. */
static void listens(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s/plugin1234567890", getenv("TMPDIR"))
            >= (int)sizeof address.sun_path
        || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fputs("bind: invalid argument\n", stderr);
        exit(0);
    }
    both();
}

int main(void)
{
    MODE();
    return 0;
}

/* All are used by one build or another. */
void *const modes[] = {both, only_five, exits, crashes, no_libraries, garbage, no_line_end, endless,
    noisy, silent, orphan, family, escapes, tells, listens};
