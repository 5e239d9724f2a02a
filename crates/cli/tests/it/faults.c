/* A disk that fails: put before the C library's own functions by LD_PRELOAD, counts the calls that change files under a
   directory, and lets some of them fail.

   FAULT_FOLDER    the directory
   FAULT_REPORT    a file outside it, to which a line is added for every call that failed, and at the end the number of calls
   FAULT_CALL      the call that fails, from 1; none if not set
   FAULT_STICKY    whether all calls after it fail as well
   FAULT_ERRNO     with what
   FAULT_READONLY  whether nothing there may be opened for writing
   FAULT_THREAD    the thread that cannot be started, from 1 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *folder;
static long call_that_fails, thread_that_fails, sticky, with_errno, readonly;
static int report = -1;
static atomic_long calls, threads;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static void say(const char *what, long n, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %ld %s\n", what, n, path);
    syscall(SYS_write, report, line, length);
}

__attribute__((constructor)) static void start(void) {
    call_that_fails = number("FAULT_CALL");
    thread_that_fails = number("FAULT_THREAD");
    sticky = number("FAULT_STICKY");
    with_errno = number("FAULT_ERRNO");
    readonly = number("FAULT_READONLY");
    const char *to = getenv("FAULT_REPORT");
    if (to) report = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    folder = getenv("FAULT_FOLDER");
}

__attribute__((destructor)) static void end(void) { say("calls", calls, ""); }

static int is_inside(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int fails(const char *what, const char *path) {
    if (!is_inside(path)) return 0;
    long n = ++calls;
    if (!call_that_fails || n < call_that_fails || (n > call_that_fails && !sticky)) return 0;
    say(what, n, path);
    errno = with_errno;
    return 1;
}

static int fails_at(const char *what, int file) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(what, path);
}

static const char *whole(const char *path, char *buffer) {
    if (path[0] == '/' || !getcwd(buffer, PATH_MAX)) return path;
    size_t length = strlen(buffer);
    snprintf(buffer + length, PATH_MAX - length, "/%s", path);
    return buffer;
}

#define CHANGES(type, name, file, call, parameters, ...) \
    type name parameters { return fails_at(#name, file) ? -1 : (type)syscall(call, __VA_ARGS__); }

CHANGES(ssize_t, write, file, SYS_write, (int file, const void *bytes, size_t n), file, bytes, n)
CHANGES(ssize_t, writev, file, SYS_writev, (int file, const struct iovec *parts, int n), file, parts, n)
CHANGES(ssize_t, pwrite, file, SYS_pwrite64, (int file, const void *bytes, size_t n, off_t at), file, bytes, n, at)
CHANGES(ssize_t, pwrite64, file, SYS_pwrite64, (int file, const void *bytes, size_t n, off64_t at), file, bytes, n, at)
CHANGES(int, fsync, file, SYS_fsync, (int file), file)
CHANGES(int, fdatasync, file, SYS_fdatasync, (int file), file)
CHANGES(int, ftruncate, file, SYS_ftruncate, (int file, off_t length), file, length)
CHANGES(int, ftruncate64, file, SYS_ftruncate, (int file, off64_t length), file, length)

int rename(const char *from, const char *to) {
    char path[PATH_MAX];
    if (fails("rename", whole(to, path))) return -1;
    return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

static int opened(int at, const char *path, int flags, va_list more) {
    char buffer[PATH_MAX];
    if (readonly && (flags & (O_WRONLY | O_RDWR | O_CREAT)) && is_inside(whole(path, buffer))) {
        say("open", 0, path);
        errno = EROFS;
        return -1;
    }
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
    return syscall(SYS_openat, at, path, flags, mode);
}

#define OPENS(name, parameters, at) \
    int name parameters { \
        va_list more; \
        va_start(more, flags); \
        int file = opened(at, path, flags, more); \
        va_end(more); \
        return file; \
    }

OPENS(open, (const char *path, int flags, ...), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), at)
OPENS(openat64, (int at, const char *path, int flags, ...), at)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    long n = ++threads;
    if (n == thread_that_fails) {
        say("thread", n, "");
        return EAGAIN;
    }
    return next(thread, attributes, run, argument);
}
