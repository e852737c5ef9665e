/* Runs a program and writes the names of each of its functions when it is called for the first time. Each function begins with a
 * breakpoint until then, so the program is as fast as ever after its first moments. x86_64 and aarch64 Linux, static programs.
 *
 *   trace FUNCTIONS OUTPUT PROGRAM ARGUMENT...    FUNCTIONS: lines "ADDRESS NAME" in the order of addresses (hexadecimal; nm -n)
 *
 * Names are appended to OUTPUT. SIGTERM, SIGINT and SIGHUP go to the program, and its exit code is that of trace. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
static const uint8_t BREAK[] = {0xcc};
#define PROGRAM_COUNTER(registers) (registers).rip
#define AFTER_BREAK 1
#else
static const uint8_t BREAK[] = {0x00, 0x00, 0x20, 0xd4};
#define PROGRAM_COUNTER(registers) (registers).pc
#define AFTER_BREAK 0
#endif

struct function {
    uint64_t address;
    uint8_t original[sizeof BREAK];
    char *name;
};

static struct function *functions;
static size_t count;
static pid_t program;

static void fail(const char *what) {
    fprintf(stderr, "trace: %s: %s\n", what, strerror(errno));
    exit(125);
}

static void pass_on(int signal) {
    kill(program, signal);
}

/* Identical functions are one with several names: all are written. */
static void add_name(struct function *function, const char *name) {
    size_t length = strlen(function->name);
    function->name = realloc(function->name, length + strlen(name) + 2);
    sprintf(function->name + length, "\n%s", name);
}

static void read_functions(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        char *name;
        uint64_t address = strtoull(line, &name, 16);
        name[strcspn(name, "\n")] = 0;
        if (count && functions[count - 1].address == address) {
            add_name(&functions[count - 1], name + 1);
            continue;
        }
        functions = realloc(functions, (count + 1) * sizeof *functions);
        functions[count++] = (struct function){.address = address, .name = strdup(name + 1)};
    }
    free(line);
    fclose(file);
}

/* Where a position-independent program begins in memory; 0 for another. */
static uint64_t base_of(const char *path) {
    Elf64_Ehdr header;
    int file = open(path, O_RDONLY);
    if (file < 0 || read(file, &header, sizeof header) != sizeof header) fail(path);
    close(file);
    if (header.e_type != ET_DYN) return 0;
    char maps[64];
    snprintf(maps, sizeof maps, "/proc/%d/maps", program);
    FILE *lines = fopen(maps, "r");
    unsigned long long base = 0;
    if (!lines || fscanf(lines, "%llx", &base) != 1) fail(maps);
    fclose(lines);
    return base;
}

static int memory_of(pid_t process) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", process);
    int memory = open(path, O_RDWR | O_CLOEXEC);
    if (memory < 0) fail(path);
    return memory;
}

static struct function *at(uint64_t address) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (functions[middle].address == address) return &functions[middle];
        if (functions[middle].address < address) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* Whether this stop is the first call of a function, or another thread's at the same time; the thread then goes on in the function. */
static int is_call(pid_t thread, uint64_t base, int memory, int output) {
    struct user_regs_struct registers;
    struct iovec all = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, thread, NT_PRSTATUS, &all) < 0) return 0;
    struct function *function = at(PROGRAM_COUNTER(registers) - AFTER_BREAK - base);
    if (!function) return 0;
    if (function->name) {
        if (pwrite(memory, function->original, sizeof BREAK, base + function->address) < 0) fail("restoring a function");
        dprintf(output, "%s\n", function->name);
        function->name = NULL;
    }
    PROGRAM_COUNTER(registers) -= AFTER_BREAK;
    ptrace(PTRACE_SETREGSET, thread, NT_PRSTATUS, &all);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: trace FUNCTIONS OUTPUT PROGRAM ARGUMENT...\n");
        return 125;
    }
    read_functions(argv[1]);
    int output = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (output < 0) fail(argv[2]);
    program = fork();
    if (program == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[3], argv + 3);
        fail(argv[3]);
    }
    int status;
    if (waitpid(program, &status, 0) < 0 || !WIFSTOPPED(status)) fail("starting");
    ptrace(PTRACE_SETOPTIONS, program, 0,
           PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    uint64_t base = base_of(argv[3]);
    int memory = memory_of(program);
    for (size_t i = 0; i < count; i++) {
        if (pread(memory, functions[i].original, sizeof BREAK, base + functions[i].address) < 0 ||
            pwrite(memory, BREAK, sizeof BREAK, base + functions[i].address) < 0)
            fail(functions[i].name);
    }
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    signal(SIGHUP, pass_on);
    ptrace(PTRACE_CONT, program, 0, 0);
    for (;;) {
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0 && errno == EINTR) continue;
        if (thread < 0) fail("waiting");
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread != program) continue;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        int signal = WSTOPSIG(status);
        /* A stop for an event, such as a new thread, or the first stop of that thread. */
        if (status >> 16 || signal == SIGSTOP) signal = 0;
        else if (signal == SIGTRAP && is_call(thread, base, memory, output)) signal = 0;
        ptrace(PTRACE_CONT, thread, 0, signal);
    }
}
