// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kern/proc/syscall_numbers.hh"

/// The library of user programs: the system calls as functions, and little more. A program defines
/// `extern "C" void main()`, with the parameters (const char* arguments, std::size_t size,
/// std::int64_t id) if it wants them, and ends with exit().
namespace user {

using kern::syscall::Failure;
using kern::syscall::Number;
using kern::syscall::right_execute;
using kern::syscall::right_read;
using kern::syscall::right_write;

/// Bytes in a page.
inline constexpr std::uint64_t page_size = 4096;
/// A page for short-lived mappings (kern/proc/address_space.hh).
inline constexpr std::uint64_t utemp = 0x3ff000;

/// The instruction itself: any number, any arguments, the answer as it comes back.
std::int64_t system_call(std::uint64_t number, std::uint64_t first = 0, std::uint64_t second = 0,
                         std::uint64_t third = 0, std::uint64_t fourth = 0,
                         std::uint64_t fifth = 0);
/// The same by its name.
inline std::int64_t system_call(Number number, std::uint64_t first = 0, std::uint64_t second = 0,
                                std::uint64_t third = 0, std::uint64_t fourth = 0,
                                std::uint64_t fifth = 0) {
    return system_call(static_cast<std::uint64_t>(number), first, second, third, fourth, fifth);
}
/// An address as a number.
inline std::uint64_t address_of(const volatile void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}
/// What a failed call returns.
constexpr std::int64_t error(Failure failure) {
    return -static_cast<std::int64_t>(failure);
}

/// Ends the program.
[[noreturn]] void exit(std::uint64_t status);
/// Lets others run first.
void yield();
/// This program's identifier.
std::int64_t env_id();
/// Nanoseconds since boot.
std::uint64_t time();

/// Writes to the console.
void print(std::string_view text);
/// Writes a number as 0x and hexadecimal digits.
void print_hexadecimal(std::uint64_t number);

/// A file descriptor, or an error.
std::int64_t open(std::string_view name);
/// Bytes read from where the last read ended, or an error. Fewer than asked for is no error; 0 is
/// the file's end.
std::int64_t read(std::int64_t file, std::span<std::byte> out);
/// The next read of `file` begins at byte `offset`. 0, or an error.
std::int64_t seek(std::int64_t file, std::uint64_t offset);

///@{
/// Pages of this program (JOS knows them as sys_page_alloc, sys_page_map and sys_page_unmap).
/// 0, or an error.
std::int64_t page_alloc(std::uint64_t address, std::uint64_t rights);
std::int64_t page_map(std::uint64_t from, std::uint64_t to, std::uint64_t rights);
std::int64_t page_unmap(std::uint64_t address);
///@}

/// A message as it came.
struct Message {
    std::int64_t sender;   ///< or an error
    std::uint64_t value;   ///< what was sent
    std::uint64_t rights;  ///< of the page that came with it; 0: none came
};
/// Waits for a message; a page that comes with it is mapped at `page`, unless that is 0.
Message receive(std::uint64_t page = 0);
/// Sends, and tries again while the other does not wait yet. 0, or an error.
std::int64_t send(std::int64_t to, std::uint64_t value, std::uint64_t page = 0,
                  std::uint64_t rights = 0);
/// Starts a program; its identifier, or an error.
std::int64_t spawn(std::string_view file, std::string_view arguments);
/// How a program or guest has ended.
struct Ended {
    std::int64_t outcome;  ///< a kern::syscall::Outcome, or an error
    std::uint64_t status;  ///< what it gave to exit; a guest: to the exit hypercall
};
/// Waits until `program`, a child or any other, has ended.
Ended wait(std::int64_t program);
/// The identifier of who started this program; 0: nobody.
std::int64_t parent_id();

/// The command line.
std::string_view arguments();
/// The number after `key=` in the command line, decimal, or hexadecimal after 0x; otherwise
/// `otherwise`.
std::uint64_t argument(std::string_view key, std::uint64_t otherwise);

/// Goes on if `rule` holds. Otherwise says so in words and ends the program with status 1.
void require(bool rule, std::string_view words);
/// The same for an answer of the kernel; prints what was seen and wanted.
void require_equal(std::int64_t seen, std::int64_t wanted, std::string_view words);

/// Ends the program with a status that nobody can know who has not got the key of this run
/// (`key=` in the command line) and `result`.
[[noreturn]] void finish(std::uint64_t result);

}  // namespace user
