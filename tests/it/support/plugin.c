/*
 * Stand-ins for a provider's executable, for the tests of --probe-protocol.
 * MODE, a name below, says what it does. It leaves traces in the file "book" of its own folder.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static void say(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* Leaves a file in its own folder, the only place where it may. */
static void hold(void)
{
    int book = open("book", O_RDWR | O_CREAT, 0600);
    if (book < 0 || write(book, "held", 4) != 4)
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
    FILE *book = fopen("unfinished", "w");
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
    rename("unfinished", "book");
    if (getenv("PLUGIN_PROTOCOL_VERSIONS"))
        wait_for_ever();
}

#ifdef __linux__
#include <sys/ptrace.h>

#ifndef KEY
#define KEY "/nowhere"
#define SOCKET "/nowhere"
#define PORT 1
#endif

/* Whether a file can be opened and read. */
static int can_read(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY), got = fd >= 0 && read(fd, &byte, 1) > 0;
    if (fd >= 0)
        close(fd);
    return got;
}

/* Tries to get at the secrets of whoever has started it, at a socket and at a network, and tells what it could. */
__attribute__((unused)) static void steals(void)
{
    char path[64], folder[4096];
    int pid, fd, last = 4194304;
    FILE *limit = fopen("/proc/sys/kernel/pid_max", "r");
    struct sockaddr_in host = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct iovec ours = {folder, 8}, theirs = {(void *)0x400000, 8};
    if (limit && fscanf(limit, "%d", &last) != 1)
        last = 4194304;
    for (pid = 1; pid <= last; pid++) {
        if (pid == getpid() || (kill(pid, 0) != 0 && errno == ESRCH))
            continue;
        if (kill(pid, 0) == 0)
            fprintf(stderr, "may signal %d%s\n", pid, pid == getppid() ? ", its parent" : "");
        snprintf(path, sizeof path, "/proc/%d/environ", pid);
        if (can_read(path))
            fprintf(stderr, "reads %s\n", path);
        snprintf(path, sizeof path, "/proc/%d/maps", pid);
        if (can_read(path))
            fprintf(stderr, "reads %s\n", path);
        snprintf(path, sizeof path, "/proc/%d/mem", pid);
        if ((fd = open(path, O_RDWR)) >= 0)
            fprintf(stderr, "opens %s\n", path);
        if (process_vm_readv(pid, &ours, 1, &theirs, 1, 0) > 0)
            fprintf(stderr, "reads the memory of %d\n", pid);
        if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0)
            fprintf(stderr, "traces %d\n", pid);
    }
    if (can_read(KEY))
        fprintf(stderr, "reads the key's file\n");
    if (open(KEY ".new", O_WRONLY | O_CREAT, 0600) >= 0)
        fprintf(stderr, "writes beside the key's file\n");
    inet_pton(AF_INET, "127.0.0.1", &host.sin_addr);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&host, sizeof host) == 0)
        fprintf(stderr, "connects to a network\n");
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&host, sizeof host) == 1)
        fprintf(stderr, "sends to a network\n");
    if (socket(AF_INET6, SOCK_STREAM, 0) >= 0 || socket(AF_NETLINK, SOCK_RAW, 0) >= 0)
        fprintf(stderr, "has sockets of other families\n");
    strncpy(local.sun_path, SOCKET, sizeof local.sun_path - 1);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        fprintf(stderr, "has no socket to listen on\n");
    else if (connect(fd, (struct sockaddr *)&local, sizeof local) == 0)
        fprintf(stderr, "connects to a socket of another program\n");
    fprintf(stderr, "tried all\n");
    exit(7);
}

#endif

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
