// SPDX-License-Identifier: MIT
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>

namespace lab {

namespace filter {

/// Loads a word of seccomp's description of the call.
constexpr sock_filter load(std::size_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
/// Ends with `verdict` if the loaded word is `value`.
#define NEST_IF(value, verdict) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), BPF_STMT(BPF_RET | BPF_K, (verdict))
/// Ends with `verdict` if the loaded word has one of the bits `mask`.
#define NEST_IF_ANY(mask, verdict) \
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (mask), 0, 1), BPF_STMT(BPF_RET | BPF_K, (verdict))

constexpr std::uint32_t denied = SECCOMP_RET_ERRNO | 1;  // EPERM
constexpr std::uint32_t allowed = SECCOMP_RET_ALLOW;
constexpr std::uint32_t may_write =
    03 | 0100 | 01000 | 02000;  // O_ACCMODE, O_CREAT, O_TRUNC, O_APPEND
#if defined(__x86_64__)
constexpr std::uint32_t machine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t machine = AUDIT_ARCH_AARCH64;
#endif
constexpr std::size_t number = offsetof(seccomp_data, nr);
constexpr std::uint32_t shares_memory = 0x100;  // CLONE_VM
constexpr std::size_t first = offsetof(seccomp_data, args);
constexpr std::size_t third = offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t);

}  // namespace filter

/// From here on the process may work with memory, threads and what is open, read files, and end: no
/// program is started, no other process made, no file written, no network.
/// Reading stays, since a sanitizer that reports looks for names of functions and at its own memory.
inline void confine() {
    using namespace filter;
    static const sock_filter program[] = {
        load(offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, machine, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, denied),
        load(number),
#if defined(__x86_64__)
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x4000'0000, 0, 1),  // the x32 numbers
        BPF_STMT(BPF_RET | BPF_K, denied),
        NEST_IF(__NR_fork, denied),
        NEST_IF(__NR_vfork, denied),
        NEST_IF(__NR_creat, denied),
        NEST_IF(__NR_unlink, denied),
        NEST_IF(__NR_rename, denied),
        NEST_IF(__NR_link, denied),
        NEST_IF(__NR_symlink, denied),
        NEST_IF(__NR_mkdir, denied),
        NEST_IF(__NR_rmdir, denied),
        NEST_IF(__NR_chmod, denied),
        NEST_IF(__NR_iopl, denied),
        NEST_IF(__NR_ioperm, denied),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_open, 0, 4),  // of the sanitizers
        load(third - sizeof(std::uint64_t)),
        NEST_IF_ANY(may_write, denied),
        BPF_STMT(BPF_RET | BPF_K, allowed),
#endif
        NEST_IF(__NR_execve, denied),
        NEST_IF(__NR_execveat, denied),
        NEST_IF(__NR_socket, denied),
        NEST_IF(__NR_socketpair, denied),
        NEST_IF(__NR_connect, denied),
        NEST_IF(__NR_unlinkat, denied),
        NEST_IF(__NR_renameat2, denied),
        NEST_IF(__NR_linkat, denied),
        NEST_IF(__NR_symlinkat, denied),
        NEST_IF(__NR_mkdirat, denied),
        NEST_IF(__NR_mknodat, denied),
        NEST_IF(__NR_fchmodat, denied),
        NEST_IF(__NR_fchmod, denied),
        NEST_IF(__NR_truncate, denied),
        NEST_IF(__NR_process_vm_writev, denied),
        NEST_IF(__NR_process_vm_readv, denied),
        NEST_IF(__NR_pidfd_getfd, denied),
        NEST_IF(__NR_mount, denied),
        NEST_IF(__NR_unshare, denied),
        NEST_IF(__NR_setns, denied),
        NEST_IF(__NR_bpf, denied),
        NEST_IF(__NR_userfaultfd, denied),
        NEST_IF(__NR_perf_event_open, denied),
        NEST_IF(__NR_keyctl, denied),
        NEST_IF(__NR_io_uring_setup, denied),
        NEST_IF(__NR_openat2, denied),
        // Threads, and the one process of LeakSanitizer's that shares all memory.
        NEST_IF(__NR_clone3, SECCOMP_RET_ERRNO | 38),  // ENOSYS: take clone
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 4),
        load(first),
        NEST_IF_ANY(shares_memory, allowed),
        BPF_STMT(BPF_RET | BPF_K, denied),
        // Files are opened to be read.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_openat, 0, 4),
        load(third),
        NEST_IF_ANY(may_write, denied),
        BPF_STMT(BPF_RET | BPF_K, allowed),
        // All else.
        BPF_STMT(BPF_RET | BPF_K, allowed),
    };
    const sock_fprog whole{.len = std::size(program), .filter = const_cast<sock_filter*>(program)};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole, 0, 0) != 0)
        std::fputs("note: this system knows no seccomp filters\n", stderr);
}

#undef NEST_IF
#undef NEST_IF_ANY

}  // namespace lab
