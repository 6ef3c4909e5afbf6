// SPDX-License-Identifier: MIT
// Makes system calls with numbers and arguments at random, `calls=` of them. Only what would end or
// stop this very program is left out: exit, ipc_receive, and calls that would write over its own
// image and stack.
#include <array>
#include <cstdint>

#include "kern/user/digest.hh"
#include "kern/user/user.hh"

namespace {

using user::Number;

constexpr std::uint64_t scratch = 0x1000'0000, scratch_pages = 8;

class Random {
   public:
    explicit Random(std::uint64_t seed) : state_{seed} {}
    std::uint64_t next() { return user::scramble(state_ += 0x9e37'79b9'7f4a'7c15); }
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }

   private:
    std::uint64_t state_;
};

constexpr std::array<std::uint64_t, 22> interesting{
    0,
    1,
    7,
    8,
    0xfff,
    0x234,
    0x2000,
    0x3f'f000,
    0x3f'ffff,
    0x7fff'ffff,
    0x8000'0000,
    0xffff'ffff,
    0x1'0000'0000,
    0x7fff'ffff'e000,
    0x7fff'ffff'f000,
    0x8000'0000'0000,
    0xffff'8000'0000'0000,
    0xffff'ffff'8010'0000,
    0xffff'ffff'ffff'f000,
    0x8000'0000'0000'0000,
    0x7fff'ffff'ffff'ffff,
    ~0ULL,
};

/// A number that may well be an address, a size, an identifier or nothing at all.
std::uint64_t any(Random& random, std::uint64_t self) {
    switch (random.below(7)) {
        case 0: return interesting[random.below(interesting.size())];
        case 1: return scratch + random.below(scratch_pages) * user::page_size;
        case 2: return scratch + random.below(scratch_pages * user::page_size);
        case 3: return random.below(64);
        case 4: return random.next() >> random.below(64);
        case 5: return self + (random.below(3) << 8) + random.below(3);  // an environment
        default: return interesting[random.below(interesting.size())] + random.below(64) - 32;
    }
}

extern "C" char image_end[];

/// Whether a call that changes pages or memory at `address` could hit this program's own.
bool is_own(std::uint64_t address) {
    constexpr std::uint64_t program = 0x40'0000;
    const auto page = address & ~(user::page_size - 1);
    return page == 0x1000 || (page >= program && page < user::address_of(image_end));
}

}  // namespace

extern "C" void main() {
    const auto self = static_cast<std::uint64_t>(user::env_id());
    Random random{user::argument("key", 1) ^ self};
    const auto calls = user::argument("calls", 100'000);
    std::uint64_t spawned = 0, served = 0;
    for (std::uint64_t made = 0; made < calls;) {
        std::uint64_t number = random.below(kern::syscall::number_count + 3);
        if (random.below(64) == 0) number = any(random, self);
        std::array<std::uint64_t, 5> arguments{};
        for (auto& argument : arguments) argument = any(random, self);
        const bool is_call = number < kern::syscall::number_count;
        switch (is_call ? static_cast<Number>(number) : Number::nothing) {
            case Number::exit:
            case Number::ipc_receive:
            case Number::wait: continue;
            case Number::console_write: arguments[1] &= ~0xffcULL; break;  // few characters
            case Number::spawn:
                if (random.below(50) == 0 && spawned < 100) {
                    // Once in a while, a program that there is: its name is in our constants.
                    static constexpr std::string_view name{"return_from_main.elf"};
                    arguments[0] = user::address_of(name.data());
                    arguments[1] = name.size();
                    ++spawned;
                }
                break;
            case Number::console_read:
            case Number::page_alloc:
            case Number::page_unmap:
                if (is_own(arguments[0])) continue;
                break;
            case Number::page_map:
            case Number::read:
                if (is_own(arguments[1])) continue;
                break;
            default: break;
        }
        served += user::system_call(number, arguments[0], arguments[1], arguments[2], arguments[3],
                                    arguments[4]) >= 0
                      ? 1
                      : 0;
        ++made;
    }
    // Some must have been of use, or this was no test.
    user::require(served > calls / 100, "hardly any call was served");
    user::finish(calls);
}
