/* A disk and a clock that fail when they are told to: preloaded into a process (LD_PRELOAD), this stands between the
 * program and the C library. Tests and tools/torture compile it and start the real binary with it.
 *
 *   SAVOR_SHIM        a file of eight 64-bit integers, mapped and read at every call; whoever writes it gives the orders
 *   SAVOR_SHIM_UNDER  only files whose path begins with this fail
 *
 * The system is called directly, so that little here depends on the order in which libraries are loaded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int64_t sync_error;    /* errno of fsync and fdatasync; 0: they work */
    int64_t write_error;   /* errno of every write */
    int64_t room;          /* bytes that can still be written, then ENOSPC; negative: no bound */
    int64_t short_writes;  /* 1: a write takes half of what it is given */
    int64_t read_error;    /* errno of every read */
    int64_t clock_seconds; /* added to the clock of the wall */
    int64_t read_only;     /* 1: nothing can be written, opened for that, made, renamed or removed: EROFS */
    int64_t injected;      /* counted up by each call that was made to fail */
};

static struct orders nothing = {.room = -1};
static struct orders *orders = &nothing;
static char under[4096];
static size_t under_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SAVOR_SHIM"), *prefix = getenv("SAVOR_SHIM_UNDER");
    if (!path || !prefix || strlen(prefix) >= sizeof under) return;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (map == MAP_FAILED) return;
    strcpy(under, prefix);
    under_length = strlen(under);
    orders = map;
}

static int64_t order(int64_t *field) { return __atomic_load_n(field, __ATOMIC_RELAXED); }

static int path_counts(const char *path) { return under_length && path && strncmp(path, under, under_length) == 0; }

static int file_counts(int file) {
    char link[64] = "/proc/self/fd/", path[4096], digits[16];
    int at = 14, count = 0, number = file;
    if (!under_length || file < 0) return 0;
    do digits[count++] = '0' + number % 10; while (number /= 10);
    while (count) link[at++] = digits[--count];
    link[at] = 0;
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path_counts(path);
}

static ssize_t fail(int error) {
    __atomic_fetch_add(&orders->injected, 1, __ATOMIC_RELAXED);
    errno = error;
    return -1;
}

/* How many of so many bytes may be written; -1 with errno if none. */
static ssize_t allowed(int file, size_t bytes) {
    int64_t error = order(&orders->read_only) ? EROFS : order(&orders->write_error);
    int64_t room = order(&orders->room), half = order(&orders->short_writes);
    if ((!error && room < 0 && !half) || !file_counts(file)) return bytes;
    if (error) return fail(error);
    /* What two threads take at once is taken once: below zero there would be no bound. */
    while (room >= 0) {
        if (room == 0 && bytes) return fail(ENOSPC);
        int64_t taken = (int64_t)bytes < room ? (int64_t)bytes : room;
        if (__atomic_compare_exchange_n(&orders->room, &room, room - taken, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            bytes = taken;
            break;
        }
    }
    if (half && bytes > 1) {
        __atomic_fetch_add(&orders->injected, 1, __ATOMIC_RELAXED);
        bytes /= 2;
    }
    return bytes;
}

ssize_t write(int file, const void *from, size_t bytes) {
    ssize_t count = allowed(file, bytes);
    return count < 0 ? count : syscall(SYS_write, file, from, count);
}

ssize_t pwrite64(int file, const void *from, size_t bytes, off64_t at) {
    ssize_t count = allowed(file, bytes);
    return count < 0 ? count : syscall(SYS_pwrite64, file, from, count, at);
}
ssize_t pwrite(int file, const void *from, size_t bytes, off_t at) { return pwrite64(file, from, bytes, at); }

ssize_t writev(int file, const struct iovec *parts, int count) {
    size_t bytes = 0;
    for (int part = 0; part < count; part++) bytes += parts[part].iov_len;
    ssize_t may = allowed(file, bytes);
    if (may < 0 || (size_t)may == bytes) return may < 0 ? may : syscall(SYS_writev, file, parts, count);
    size_t first = count ? parts[0].iov_len : 0;
    return syscall(SYS_write, file, count ? parts[0].iov_base : NULL, first < (size_t)may ? first : (size_t)may);
}

int fallocate64(int file, int mode, off64_t at, off64_t bytes) {
    if (order(&orders->room) == 0 && file_counts(file)) return fail(ENOSPC);
    return syscall(SYS_fallocate, file, mode, at, bytes);
}
int fallocate(int file, int mode, off_t at, off_t bytes) { return fallocate64(file, mode, at, bytes); }
int posix_fallocate64(int file, off64_t at, off64_t bytes) { return fallocate64(file, 0, at, bytes) ? errno : 0; }
int posix_fallocate(int file, off_t at, off_t bytes) { return posix_fallocate64(file, at, bytes); }

/* RocksDB waits for free space before it goes on. */
int statvfs64(const char *path, struct statvfs64 *found) {
    int (*real)(const char *, struct statvfs64 *) = (int (*)(const char *, struct statvfs64 *))dlsym(RTLD_NEXT, "statvfs64");
    int outcome = real ? real(path, found) : fail(ENOSYS);
    if (outcome == 0 && order(&orders->room) == 0 && path_counts(path)) found->f_bfree = found->f_bavail = 0;
    return outcome;
}
int statvfs(const char *path, struct statvfs *found) {
    int (*real)(const char *, struct statvfs *) = (int (*)(const char *, struct statvfs *))dlsym(RTLD_NEXT, "statvfs");
    int outcome = real ? real(path, found) : fail(ENOSYS);
    if (outcome == 0 && order(&orders->room) == 0 && path_counts(path)) found->f_bfree = found->f_bavail = 0;
    return outcome;
}

/* Copies inside the kernel would pass by the writes: callers fall back to these. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t bytes, unsigned flags) {
    if (file_counts(out)) { errno = EXDEV; return -1; }
    return syscall(SYS_copy_file_range, in, from, out, to, bytes, flags);
}
ssize_t sendfile64(int out, int in, off64_t *from, size_t bytes) {
    if (file_counts(out)) { errno = EINVAL; return -1; }
    return syscall(SYS_sendfile, out, in, from, bytes);
}
ssize_t sendfile(int out, int in, off_t *from, size_t bytes) { return sendfile64(out, in, from, bytes); }

static int synced(int file, long call) {
    int64_t error = order(&orders->sync_error);
    if (error && file_counts(file)) return fail(error);
    return syscall(call, file);
}
int fsync(int file) { return synced(file, SYS_fsync); }
int fdatasync(int file) { return synced(file, SYS_fdatasync); }

static int read_fails(int file) { return order(&orders->read_error) && file_counts(file); }

ssize_t read(int file, void *to, size_t bytes) {
    return read_fails(file) ? fail(order(&orders->read_error)) : syscall(SYS_read, file, to, bytes);
}
ssize_t pread64(int file, void *to, size_t bytes, off64_t at) {
    return read_fails(file) ? fail(order(&orders->read_error)) : syscall(SYS_pread64, file, to, bytes, at);
}
ssize_t pread(int file, void *to, size_t bytes, off_t at) { return pread64(file, to, bytes, at); }

static int refused(const char *path) { return order(&orders->read_only) && path_counts(path); }

int openat64(int folder, const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC))) {
        if (refused(path)) return fail(EROFS);
        if ((flags & O_CREAT) && order(&orders->room) == 0 && path_counts(path) && access(path, F_OK)) return fail(ENOSPC);
    }
    return syscall(SYS_openat, folder, path, flags, mode);
}
#define MODE_OF(flags) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }
int openat(int folder, const char *path, int flags, ...) { MODE_OF(flags) return openat64(folder, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return openat64(AT_FDCWD, path, flags, mode); }
int open(const char *path, int flags, ...) { MODE_OF(flags) return openat64(AT_FDCWD, path, flags, mode); }

int rename(const char *from, const char *to) {
    return refused(to) ? fail(EROFS) : syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int f, const char *from, int t, const char *to) {
    return refused(to) ? fail(EROFS) : syscall(SYS_renameat2, f, from, t, to, 0);
}
int mkdir(const char *path, mode_t mode) { return refused(path) ? fail(EROFS) : syscall(SYS_mkdirat, AT_FDCWD, path, mode); }
int unlink(const char *path) { return refused(path) ? fail(EROFS) : syscall(SYS_unlinkat, AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) {
    return refused(path) ? fail(EROFS) : syscall(SYS_unlinkat, folder, path, flags);
}
int ftruncate64(int file, off64_t length) {
    return order(&orders->read_only) && file_counts(file) ? fail(EROFS) : syscall(SYS_ftruncate, file, length);
}
int ftruncate(int file, off_t length) { return ftruncate64(file, length); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int outcome = syscall(SYS_clock_gettime, clock, now);
    if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += order(&orders->clock_seconds);
    return outcome;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise)) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}

/* A deadline by that clock is one by the system's: else whoever waits would wait for ever, or not at all. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    typedef int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    static wait real;
    wait found = __atomic_load_n(&real, __ATOMIC_RELAXED);
    if (!found) {
        /* The unversioned name may be that of a condition of glibc before 2.3.2. */
        found = (wait)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (!found) found = (wait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        if (!found) return ENOSYS;
        __atomic_store_n(&real, found, __ATOMIC_RELAXED);
    }
    struct timespec moved = *until, since_start;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &since_start);
    /* One that is within a year of the start of the machine is by the other clock. */
    if (moved.tv_sec - since_start.tv_sec > 365 * 86400) moved.tv_sec -= order(&orders->clock_seconds);
    return found(cond, mutex, &moved);
}
