// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kern/user/user.hh"
#include "vmm/user/syscall_numbers.hh"

/// The user-level VMM is a program like any other (kern/user/user.hh): it opens files, allocates
/// pages of its own, and gives them to a guest by three system calls more.
namespace user {

// Rights of a guest's page are those of a program's: a sum of right_read, right_write and
// right_execute. Guest-physical addresses and identifiers are plain numbers, as in every system
// call.

/// Everything that a guest's page may allow.
inline constexpr std::uint64_t right_all = right_read | right_write | right_execute;

///@{
/// The system calls for guests (vmm/user/system_calls.hh has their contracts). 0 or more, or an
/// error.
///
/// env_mkguest: a guest with `memory_bytes` of memory, of which no page is mapped yet, that begins
/// at guest-physical address `rip` in real mode; its identifier. It is a child of the caller.
/// `flags`: see vmm/user/syscall_numbers.hh.
std::int64_t env_mkguest(std::uint64_t memory_bytes, std::uint64_t rip, std::uint64_t flags);
/// The caller's page at `srcva` (srcenv: 0 is the caller) appears at `guest_pa` of the guest.
std::int64_t sys_ept_map(std::int64_t srcenv, std::uint64_t srcva, std::int64_t guest,
                         std::uint64_t guest_pa, std::uint64_t perm);
/// Lets the guest run.
std::int64_t guest_start(std::int64_t guest);
///@}

/// Puts a part of a file into a guest's memory (task lab2.map_in_guest).
///
/// Afterwards the guest has, in new pages that nobody else has:
/// - at [gpa, gpa + filesz) the `filesz` bytes of `file` from byte `offset` on;
/// - zeros in all the rest of these pages: before `gpa`, up to gpa + memsz, and to the end of the
///   last page.
///
/// Each page that holds a byte of [gpa, gpa + memsz) is mapped with the rights `perm`, and no other
/// page. `gpa` need not be aligned: the boot sector goes to 0x7c00. With `memsz` 0 there is nothing
/// to do.
///
/// A program cannot reach into its guest. So each page is made at `utemp`: page_alloc brings a page
/// of zeros there, seek and read fill it, and sys_ept_map lets the guest have it too. The next
/// page_alloc at `utemp` brings another page; the guest keeps the one that it has.
///
/// @param guest   of env_mkguest
/// @param gpa     guest-physical address of the first byte
/// @param memsz   bytes in the guest's memory
/// @param file    a descriptor of open(); where its next read begins is of no matter, before and
///                after
/// @param filesz  how many of them come from the file: at most `memsz`
/// @param offset  of the first one in the file
/// @param perm    a sum of right_...; handed on to sys_ept_map as it is
/// @return 0, or an error; if several hold, any of them:
///         - invalid_argument: `filesz` is greater than `memsz`, or gpa + memsz or offset + filesz
///           is greater than 2^64 - 1. No page was mapped then;
///         - bad_format: the file ends before offset + filesz;
///         - what a system call answered, as it came.
/// @note After every return, good or bad, none of its pages is left at `utemp`. After an error the
///       guest keeps the pages that it was given before: they go back when it does.
std::int64_t map_in_guest(std::int64_t guest, std::uint64_t gpa, std::uint64_t memsz,
                          std::int64_t file, std::uint64_t filesz, std::uint64_t offset,
                          std::uint64_t perm);

/// The most program headers that copy_guest_kern_gpa takes.
inline constexpr std::uint16_t max_guest_segments = 16;

/// Loads a guest's kernel (task lab2.copy_guest_kern_gpa): opens the file `name`, reads the ELF
/// header and the program headers (kern/elf/format.hh), and hands each segment of type PT_LOAD to
/// map_in_guest: at its physical address p_paddr, since the guest begins without paging. The rights
/// are right_read, with right_write if p_flags has pf_w, and right_execute if it has pf_x. A
/// segment with p_memsz 0 has no pages.
///
/// The file is untrusted. All headers are read and checked before the first segment is mapped, so
/// that a guest gets no page of a file that is refused as bad_format for its headers:
/// - it begins with elf_magic, `file_class` is class_64, `data` is little_endian, e_type is
///   et_exec, e_machine is em_x86_64;
/// - e_phnum is 1 to max_guest_segments, e_phentsize is at least the size of a program header (what
///   stands behind it in each entry is not looked at);
/// - the header and the table, which may lie anywhere in the file, are there in full; the sums of
///   offsets may wrap;
/// - in each segment of type PT_LOAD p_filesz is at most p_memsz, and neither p_paddr + p_memsz nor
///   p_offset + p_filesz is greater than 2^64 - 1. Other types are not looked at.
/// All other fields may hold anything.
///
/// @param guest  of env_mkguest
/// @param name   of the file
/// @return 0, or an error: of open(), seek() or read(), as it came; bad_format, for what is named
///         above; of map_in_guest, as it came. If several segments cannot be mapped, it is the error of any of them: in which
///         order they are mapped is open. Segments that were mapped before such an error stay, and
///         nothing is mapped at `utemp`.
std::int64_t copy_guest_kern_gpa(std::int64_t guest, std::string_view name);

}  // namespace user
