/*
 * terraform-provider-sample: a stand-in for a Terraform provider.
 *
 * It is what the test releases of tfreg carry as "the executable": small, but
 * genuine for each platform (ELF, Mach-O, PE32+).  It serves no resource.
 *
 *   (no argument) or --version   prints "terraform-provider-sample vX.Y.Z", ends with 0
 *   anything else                says so on stderr, ends with 2
 *
 * On Linux, when the environment holds Terraform's go-plugin magic cookie, it
 * prints the handshake line of a protocol 6 plugin and then sleeps until it is
 * killed.  Nothing listens on the socket which that line names.
 *
 * No C library is linked: raw system calls on Linux and FreeBSD, kernel32 on
 * Windows, and the two libSystem functions that a macOS program cannot avoid.
 *
 * Set by the build (see ../make.sh):
 *   -DVERSION="1.2.0"   the version to print
 *   -DBUILD="1"         a string that is only kept in the file, so that the
 *                       same version can be built to other bytes
 */

#ifndef VERSION
#error "build with -DVERSION=\"x.y.z\" (in quotes): see make.sh"
#endif
#ifndef BUILD
#define BUILD "1"
#endif

#define NAME "terraform-provider-sample"

/* Found in the file with strings(1): grep for "@(#)". */
__attribute__((used)) static const char what[] =
    "@(#)" NAME " v" VERSION " build " BUILD;

static const char version_line[] = NAME " v" VERSION "\n";
static const char usage_line[] = "usage: " NAME " [--version]\n";

static int same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Each platform gives these two. */
static void put(int fd, const char *text, unsigned long length);
static void quit(int code) __attribute__((noreturn));

#define PUT(fd, text) put((fd), (text), sizeof(text) - 1)

static void run(int has_argument, int is_version) __attribute__((noreturn));
static void run(int has_argument, int is_version)
{
    if (has_argument && !is_version) {
        PUT(2, usage_line);
        quit(2);
    }
    PUT(1, version_line);
    quit(0);
}

#if defined(__linux__) || defined(__FreeBSD__)

#if defined(__x86_64__)
static long syscall3(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+d"(c)
                     : "a"(number), "D"(a), "S"(b)
                     : "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
static long syscall3(long number, long a, long b, long c)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
                     : "memory", "cc");
    return x0;
}
#else
#error "no system calls known for this machine"
#endif

#if defined(__FreeBSD__)
#define SYS_write 4
#define SYS_exit 1
#elif defined(__x86_64__)
#define SYS_write 1
#define SYS_pause 34
#define SYS_exit 231 /* exit_group */
#else
#define SYS_write 64
#define SYS_ppoll 73
#define SYS_exit 94 /* exit_group */
#endif

static void put(int fd, const char *text, unsigned long length)
{
    syscall3(SYS_write, fd, (long)text, (long)length);
}

static void quit(int code)
{
    for (;;)
        syscall3(SYS_exit, code, 0, 0);
}

#if defined(__linux__)
static const char cookie[] =
    "TF_PLUGIN_MAGIC_COOKIE="
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
static const char handshake_line[] = "1|6|unix|/tmp/plugin-sample|grpc|\n";

static void serve(void) __attribute__((noreturn));
static void serve(void)
{
    PUT(1, handshake_line);
    for (;;) {
#if defined(__x86_64__)
        syscall3(SYS_pause, 0, 0, 0);
#else
        syscall3(SYS_ppoll, 0, 0, 0);
#endif
    }
}
#endif

/* `stack` points to argc, the arguments, a null, the environment, a null. */
__attribute__((used, noreturn)) void start_c(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1);

#if defined(__linux__)
    for (char **env = argv + argc + 1; *env; env++)
        if (same(*env, cookie))
            serve();
#endif
    run(argc > 1, argc == 2 && same(argv[1], "--version"));
}

#if defined(__aarch64__)
__asm__(".globl _start\n"
        ".type _start, %function\n"
        "_start:\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    mov x0, sp\n"
        "    and sp, x0, #-16\n"
        "    b start_c\n");
#elif defined(__FreeBSD__)
/* FreeBSD hands the block over in rdi. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    and $-16, %rsp\n"
        "    call start_c\n");
#else
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call start_c\n");
#endif

#if defined(__FreeBSD__)
/* The ABI note by which FreeBSD knows its own executables (here: 13.0). */
__attribute__((used, section(".note.tag"), aligned(4))) static const struct {
    int name_size, desc_size, type;
    char name[8];
    int desc;
} abi_note = {8, 4, 1, "FreeBSD", 1300139};
#endif

#elif defined(__APPLE__)

/* From libSystem, declared to the linker in libSystem.tbd. */
extern long write(int, const void *, unsigned long);
extern void _exit(int) __attribute__((noreturn));

static void put(int fd, const char *text, unsigned long length)
{
    write(fd, text, length);
}

static void quit(int code)
{
    _exit(code);
}

int main(int argc, char **argv)
{
    run(argc > 1, argc == 2 && same(argv[1], "--version"));
}

#elif defined(_WIN32)

/* From kernel32, declared to the linker in kernel32.def. */
__declspec(dllimport) void *GetStdHandle(unsigned);
__declspec(dllimport) int WriteFile(void *, const void *, unsigned, unsigned *, void *);
__declspec(dllimport) char *GetCommandLineA(void);
__declspec(dllimport) void ExitProcess(unsigned) __attribute__((noreturn));

static void put(int fd, const char *text, unsigned long length)
{
    unsigned written;
    WriteFile(GetStdHandle(fd == 1 ? (unsigned)-11 : (unsigned)-12), text,
              (unsigned)length, &written, 0);
}

static void quit(int code)
{
    ExitProcess((unsigned)code);
}

/* The entry point: the command line is one string, led by the program's name. */
__attribute__((noreturn)) void start(void)
{
    const char *line = GetCommandLineA();
    char end = ' ';

    if (*line == '"') {
        end = '"';
        line++;
    }
    while (*line && *line != end)
        line++;
    if (*line == '"')
        line++;
    while (*line == ' ' || *line == '\t')
        line++;
    run(*line != 0, same(line, "--version"));
}

#else
#error "no such platform"
#endif
