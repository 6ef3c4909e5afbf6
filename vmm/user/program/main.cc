// SPDX-License-Identifier: MIT
// The user-level VMM: a program that sets up a guest's memory, lets it run, and waits for its end.
// Words of its command line, in any order:
//
//   kernel=NAME    the guest kernel's file; default gkernel-boot.elf
//   boot=NAME      the boot sector's file; default boot512.bin
//   memory=KIB     the guest's memory; default 16384
//   hypercalls=0|1 1: the guest's hypercalls are served. Otherwise the first one ends it
//   args=TEXT      the guest's command line: all the rest. Comes last
//
// It ends with 0 if the guest ran, however that ended. If something was refused, it says what, and
// ends with 100 and the number of the failure (kern/proc/syscall_numbers.hh).
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include "kern/user/user.hh"
#include "vmm/user/program/hand_over.hh"
#include "vmm/user/program/information.hh"
#include "vmm/user/program/vmm.hh"

namespace user {
namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::int64_t refused = 100;

/// What the guest's memory map calls RAM: what lies below is the boot sector's, and between the two
/// a PC has devices.
struct Range {
    std::uint64_t begin, end;
};
constexpr Range low_memory{0x1'0000, 0xa'0000};
constexpr std::uint64_t high_memory = 0x10'0000;

std::string_view name_of(std::int64_t error) {
    switch (static_cast<Failure>(-error)) {
        case Failure::no_such_call: return "no such call";
        case Failure::invalid_argument: return "invalid argument";
        case Failure::bad_address: return "bad address";
        case Failure::not_found: return "not found";
        case Failure::out_of_memory: return "out of memory";
        case Failure::busy: return "busy";
        case Failure::bad_format: return "bad format";
        case Failure::failed: return "the device failed";
    }
    return "an error that nobody knows";
}

/// Gives back what is no error. Otherwise says what failed, and ends the program.
std::int64_t checked(std::int64_t answer, std::string_view what) {
    if (answer >= 0) return answer;
    print("vmm: ");
    print(what);
    print(": ");
    print(name_of(answer));
    print("\n");
    exit(static_cast<std::uint64_t>(refused - answer));
}

/// The word after `key=`; for `args` all the rest of the line.
std::string_view text_argument(std::string_view key, std::string_view otherwise) {
    auto rest = arguments();
    while (!rest.empty()) {
        const auto word = rest.substr(0, rest.find(' '));
        const auto name = word.substr(0, word.find('='));
        const bool found = name == key && name.size() < word.size();
        if (name == "args") return found ? rest.substr(name.size() + 1) : otherwise;
        if (found) return word.substr(name.size() + 1);
        rest.remove_prefix(word.size() < rest.size() ? word.size() + 1 : word.size());
    }
    return otherwise;
}

/// Where the kernel wants to be entered: e_entry, which the boot sector takes for a physical
/// address. copy_guest_kern_gpa has accepted the file.
std::uint32_t entry_of(std::string_view name) {
    constexpr std::uint64_t e_entry = 24;
    std::array<std::byte, sizeof(std::uint64_t)> bytes{};
    const auto file = checked(open(name), name);
    checked(seek(file, e_entry), name);
    checked(read(file, bytes), name);
    const auto entry = std::bit_cast<std::uint64_t>(bytes);
    if (entry > std::numeric_limits<std::uint32_t>::max())
        checked(error(Failure::bad_format), "e_entry must be a physical address below 4 GiB");
    return static_cast<std::uint32_t>(entry);
}

/// A new page at utemp, full of zeros.
std::span<std::byte> new_page() {
    checked(page_alloc(utemp, right_read | right_write), "a page for the guest");
    return {reinterpret_cast<std::byte*>(utemp), page_size};
}

void map_hand_over_page(std::int64_t guest, std::uint32_t entry, std::uint64_t memory) {
    const auto bytes = new_page();
    constexpr std::uint32_t offset = 16;  // tags stand at multiples of 8 bytes
    const hand_over::Page page{.entry = entry, .information = hand_over::page + offset};
    std::memcpy(bytes.data(), &page, sizeof(page));
    Information information{bytes.subspan(offset)};
    information.add_command_line(text_argument("args", ""));
    information.add_loader_name();
    information.add_basic_memory(low_memory.end / kib,
                                 static_cast<std::uint32_t>((memory - high_memory) / kib));
    information.add_memory_map(std::array{
        MemoryMapEntry{.base = low_memory.begin, .length = low_memory.end - low_memory.begin},
        MemoryMapEntry{.base = high_memory, .length = memory - high_memory}});
    if (!information.finish()) checked(error(Failure::invalid_argument), "the command line");
    checked(sys_ept_map(0, utemp, guest, hand_over::page, right_read), "the hand-over page");
}

/// Pages of zeros wherever the kernel's segments left room.
void map_rest(std::int64_t guest, Range range) {
    for (std::uint64_t address = range.begin; address < range.end; address += page_size) {
        new_page();
        const auto answer = sys_ept_map(0, utemp, guest, address, right_all);
        // All arguments are right: invalid is that a page is there already.
        if (answer != error(Failure::invalid_argument)) checked(answer, "the guest's memory");
    }
}

}  // namespace
}  // namespace user

extern "C" void main() {
    using namespace user;
    const auto kernel = text_argument("kernel", "gkernel-boot.elf");
    const auto boot = text_argument("boot", "boot512.bin");
    const std::uint64_t memory = argument("memory", 16384) * kib;
    if (memory % page_size != 0 || memory <= high_memory)
        checked(error(Failure::invalid_argument), "memory=KIB, more than 1024 and a multiple of 4");

    const std::uint64_t flags = argument("hypercalls", 0) != 0 ? vmm::syscall::flag_hypercalls : 0;
    const auto guest = checked(env_mkguest(memory, hand_over::boot_sector, flags), "a guest");
    const auto sector = checked(open(boot), boot);
    checked(map_in_guest(guest, hand_over::boot_sector, hand_over::boot_sector_bytes, sector,
                         hand_over::boot_sector_bytes, 0, right_all),
            boot);
    checked(copy_guest_kern_gpa(guest, kernel), kernel);
    map_hand_over_page(guest, entry_of(kernel), memory);
    map_rest(guest, low_memory);
    map_rest(guest, {high_memory, memory});
    page_unmap(utemp);

    checked(guest_start(guest), "the guest's start");
    checked(wait(guest).outcome, "waiting for the guest");
    exit(0);
}
