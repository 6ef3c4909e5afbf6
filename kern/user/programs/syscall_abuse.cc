// SPDX-License-Identifier: MIT
// Hands the kernel pointers and numbers that it must refuse with an error. Each answer is checked,
// and that memory which a call must not write holds what it held.
#include <array>
#include <cstdint>
#include <initializer_list>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {

using user::Failure;
using user::Number;

constexpr std::uint64_t kernel_image = 0xffff'ffff'8010'0000, direct_map = 0xffff'8000'0010'0000,
                        not_canonical = 0x8000'0000'0000'0000, last_page = 0x7fff'ffff'f000,
                        unmapped = 0x2000'0000, file_bytes = 64;

constexpr char constant[file_bytes + 1] =
    "a constant that nobody may write, not the kernel for us either..";

/// What must be refused, and how it is called in a report.
struct Bad {
    std::uint64_t address;
    std::string_view words;
};
constexpr std::array<Bad, 9> bad_pointers{{
    {0, "a null pointer"},
    {0x234, "an address in page zero"},
    {unmapped, "a page that is not mapped"},
    {0x2000, "the byte after the stack"},
    {kernel_image, "the kernel's image"},
    {direct_map, "the kernel's map of physical memory"},
    {not_canonical, "an address that is not canonical"},
    {~0ULL - 3, "an address whose range wraps around"},
    {last_page, "the last page of the lower half"},
}};

void refuses(std::int64_t answer, Failure failure, std::string_view call, std::string_view what) {
    if (answer == user::error(failure)) return;
    user::print(call);
    user::print(": ");
    user::require_equal(answer, user::error(failure), what);
}

void bad_addresses(std::int64_t file) {
    for (const Bad& bad : bad_pointers) {
        refuses(user::system_call(Number::console_write, bad.address, 8), Failure::bad_address,
                "console_write", bad.words);
        refuses(user::system_call(Number::console_read, bad.address, 8), Failure::bad_address,
                "console_read", bad.words);
        refuses(user::system_call(Number::open, bad.address, 8), Failure::bad_address, "open",
                bad.words);
        refuses(user::system_call(Number::read, static_cast<std::uint64_t>(file), bad.address, 8),
                Failure::bad_address, "read", bad.words);
        refuses(user::system_call(Number::spawn, bad.address, 8, 0, 0), Failure::bad_address,
                "spawn", bad.words);
    }
}

void read_only_memory(std::int64_t file) {
    const auto at = user::address_of(constant);
    refuses(user::system_call(Number::read, static_cast<std::uint64_t>(file), at, 8),
            Failure::bad_address, "read", "into a constant");
    refuses(user::system_call(Number::console_read, at, 8), Failure::bad_address, "console_read",
            "into a constant");
    const auto code = user::address_of(reinterpret_cast<const void*>(&bad_addresses));
    refuses(user::system_call(Number::read, static_cast<std::uint64_t>(file), code, 8),
            Failure::bad_address, "read", "into code");
    const volatile char* seen = constant;
    user::require(seen[0] == 'a' && seen[file_bytes - 1] == '.', "the constant was changed");
}

void page_borders(std::int64_t file) {
    // The last bytes of a page are there, the next page is not: all or nothing.
    constexpr std::uint64_t page = 0x3000'0000, size = 16;
    user::require_equal(user::page_alloc(page, user::right_read | user::right_write), 0,
                        "page_alloc");
    const std::uint64_t at = page + user::page_size - size / 2;
    refuses(user::system_call(Number::console_write, at, size), Failure::bad_address,
            "console_write", "half in a page that is not there");
    refuses(user::system_call(Number::read, static_cast<std::uint64_t>(file), at, size),
            Failure::bad_address, "read", "half in a page that is not there");
    for (auto i = at; i < page + user::page_size; ++i)
        user::require(*reinterpret_cast<volatile char*>(i) == 0,
                      "a refused read has written the first half");
    refuses(user::system_call(Number::console_write, at, ~0ULL), Failure::invalid_argument,
            "console_write", "2^64 - 1 bytes");
}

void numbers(std::int64_t file) {
    for (const std::uint64_t number : std::initializer_list<std::uint64_t>{
             kern::syscall::number_count, 1ULL << 32, ~0ULL, 1ULL << 63})
        refuses(user::system_call(number), Failure::no_such_call, "a call's number", "none");
    refuses(user::system_call(Number::read, 77, user::utemp, 0), Failure::not_found, "read",
            "a descriptor that was not opened");
    refuses(user::system_call(Number::read, ~0ULL, user::utemp, 0), Failure::not_found, "read",
            "descriptor -1");
    const auto mine = user::address_of(constant) & ~(user::page_size - 1);
    for (const std::uint64_t address : std::initializer_list<std::uint64_t>{
             0, kernel_image, direct_map, not_canonical, 0x7fff'ffff'f000, ~0ULL << 12}) {
        refuses(user::page_alloc(address, user::right_read), Failure::bad_address, "page_alloc",
                "an address that is not the program's");
        refuses(user::page_map(mine, address, user::right_read), Failure::bad_address, "page_map",
                "to an address that is not the program's");
        refuses(user::page_unmap(address), Failure::bad_address, "page_unmap",
                "an address that is not the program's");
    }
    refuses(user::page_alloc(user::utemp + 1, user::right_read), Failure::invalid_argument,
            "page_alloc", "an address that is not page-aligned");
    refuses(user::page_map(mine, user::utemp + 8, user::right_read), Failure::invalid_argument,
            "page_map", "an address that is not page-aligned");
    refuses(user::page_alloc(user::utemp, 8), Failure::invalid_argument, "page_alloc",
            "rights that do not exist");
    refuses(user::page_map(unmapped, user::utemp, user::right_read), Failure::not_found, "page_map",
            "from a page that is not there");
    const auto text =
        user::address_of(reinterpret_cast<const void*>(&numbers)) & ~(user::page_size - 1);
    refuses(user::page_map(text, user::utemp, user::right_read | user::right_write),
            Failure::invalid_argument, "page_map", "code, with the right to write");
    refuses(user::system_call(Number::ipc_try_send, 0x7fff'ffff, 1), Failure::not_found,
            "ipc_try_send", "to nobody");
    refuses(user::system_call(Number::ipc_try_send, ~0ULL, 1), Failure::not_found, "ipc_try_send",
            "to -1");
    (void)file;
}

}  // namespace

extern "C" void main() {
    const auto file = user::open("secret");
    user::require(file >= 0, "the file `secret` cannot be opened");
    bad_addresses(file);
    read_only_memory(file);
    page_borders(file);
    numbers(file);
    // After all of that the kernel still serves this program, from the file's first byte on.
    alignas(8) std::array<std::byte, file_bytes> bytes{};
    user::require_equal(user::read(file, bytes), file_bytes, "read");
    user::Digest digest{user::argument("key", 0)};
    digest.add_memory(bytes.data(), bytes.size());
    user::exit(digest.value());
}
