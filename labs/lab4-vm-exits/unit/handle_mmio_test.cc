// SPDX-License-Identifier: MIT
// Task lab4.handle_mmio.
#include "vmm/exits/handle_mmio.hh"

#include <algorithm>
#include <bit>
#include <optional>

#include "exit_fixture.hh"
#include "instructions.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

namespace lab {
namespace {

namespace rflags = vmm::rflags;
using vmm::Gpa;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t code_at = 0x6000, next_code_at = 0x7000;
constexpr std::uint64_t tables_at = 0x1'0000;  ///< four of them
constexpr Gpa device_at{0xd000'0000};
constexpr std::uint64_t device_bytes = 2 * page;

/// A page and another one of registers that keep what is written.
class TestDevice final : public vmm::MmioDevice {
   public:
    struct Access {
        bool write;
        std::uint64_t offset;
        unsigned size, vcpu;
        bool operator==(const Access&) const = default;
        friend void PrintTo(const Access& one, std::ostream* out) {
            *out << (one.write ? "a write of " : "a read of ") << one.size << " bytes at "
                 << hex(one.offset) << " by vCPU " << one.vcpu;
        }
    };

    std::expected<std::uint64_t, Error> read(const vmm::MmioAccess& access) override {
        if (const auto refused = note(access, false)) return std::unexpected{*refused};
        return number_at(access.offset, access.size);
    }
    std::expected<void, Error> write(const vmm::MmioAccess& access, std::uint64_t value) override {
        EXPECT_EQ(value, low_bits(value, 8 * access.size))
            << "a store of " << access.size << " bytes has bits beyond them";
        if (const auto refused = note(access, true)) return std::unexpected{*refused};
        put(access.offset, value, access.size);
        return {};
    }
    std::uint64_t number_at(std::uint64_t offset, unsigned size) const {
        std::uint64_t value = 0;
        for (unsigned i = 0; i < size; ++i) value |= std::uint64_t{bytes[offset + i]} << 8 * i;
        return value;
    }
    void put(std::uint64_t offset, std::uint64_t value, unsigned size) {
        for (unsigned i = 0; i < size; ++i)
            bytes[offset + i] = static_cast<std::uint8_t>(value >> 8 * i);
    }

    std::array<std::uint8_t, device_bytes> bytes{};
    std::vector<Access> accesses;
    std::optional<Error> refuses_reads{}, refuses_writes{};
    std::size_t refuses_from = 0;  ///< the number of the first one

   private:
    std::optional<Error> note(const vmm::MmioAccess& access, bool write) {
        accesses.push_back({write, access.offset, access.size, access.vcpu});
        if (accesses.size() <= refuses_from) return std::nullopt;
        return write ? refuses_writes : refuses_reads;
    }
};

class HandleMmio : public ExitTest {
   protected:
    void SetUp() override {
        ExitTest::SetUp();
        // In another order than in the guest.
        map(next_code_at);
        map(code_at);
        ASSERT_TRUE(vm().mmio().attach(device_at, device_bytes, device_));
        for (std::uint8_t& byte : device_.bytes) byte = static_cast<std::uint8_t>(random().next());
        for (unsigned index = 0; index < vcpus; ++index) {
            fill_registers(index);
            fake(index).knows_lengths = true;
            fake(index).system.code_size = CodeSize::Bits64;
            fake(index).system.segments = Ground::any(CodeSize::Bits64).segments;
        }
    }
    void map(std::uint64_t gpa) {
        const auto frame = *kern::frames().allocate(vmm::frame_owner::guest_memory);
        ASSERT_TRUE(pager().table().map(Gpa{gpa}, frame, vmm::read_write_execute));
    }
    std::byte* memory(std::uint64_t gpa) {
        return kern::arch::direct_map(*vm().memory().gpa2hpa(Gpa{gpa}));
    }
    void put(std::uint64_t gpa, std::span<const std::byte> bytes) {
        for (std::size_t i = 0; i < bytes.size(); ++i) *memory(gpa + i) = bytes[i];
    }
    /// The guest executes an instruction that accesses the device at `offset`. RBX (3) holds the
    /// operand's linear address, which is another one than the device's.
    vmm::Handled access(std::initializer_list<unsigned> bytes, std::uint64_t offset = 0x40,
                        unsigned index = 0) {
        put(code_at, as_bytes(bytes));
        length_ = bytes.size();
        registers(index).rip = code_at;
        registers(index).rbx = (random().next() & ~(page - 1)) | (offset & (page - 1));
        return access_again(offset, index);
    }
    vmm::Handled access_again(std::uint64_t offset, unsigned index = 0) {
        before_ = registers(index);
        device_.accesses.clear();
        fake(index).completed.clear();
        const vmm::exit::NestedPageFault fault{.address = device_at + offset, .write = true};
        const Exit exit{
            .reason = fault, .rip = registers(index).rip, .code = 0x400, .information = {6, 7}};
        return handle_mmio(vcpu(index), exit, fault);
    }
    /// Looks at all registers but those that `change` changes in what was before.
    void expect_done(const char* what, auto change, unsigned index = 0) {
        Registers wanted = before_;
        wanted.rip += length_;
        change(wanted);
        EXPECT_TRUE(same_registers(registers(index), wanted)) << what;
        EXPECT_EQ(fake(index).completed.size(), 1U) << what << ": skip_instruction, once";
    }
    void expect_done(const char* what) {
        expect_done(what, [](Registers&) {});
    }
    /// The VM ends, and nothing has happened to the guest.
    void expect_end(const vmm::Handled& handled, Error error, const char* what) {
        ASSERT_FALSE(handled) << what << ": wanted: the VM ends";
        EXPECT_TRUE(handled.error().error == error)
            << what << ": wanted is the error " << describe(error);
        EXPECT_TRUE(same_registers(registers(), before_)) << what << ": nothing was done";
        EXPECT_TRUE(fake().completed.empty()) << what << ": the guest does not go on";
    }
    TestDevice& device() { return device_; }
    const Registers& before() const { return before_; }
    void set_length(std::size_t bytes) { length_ = bytes; }

   private:
    TestDevice device_;
    Registers before_{};
    std::size_t length_ = 0;
};

using Access = TestDevice::Access;

TEST_F(HandleMmio, LoadsIntoARegister) {
    ASSERT_TRUE(access({0x8b, 0x03})) << "MOV EAX, memory ended the VM";
    const std::uint64_t value = device().number_at(0x40, 4);
    expect_done("MOV EAX, memory: RAX has the 4 bytes of the device, and zeros above",
                [&](Registers& wanted) { wanted.rax = value; });
    EXPECT_EQ(device().accesses, (std::vector{Access{false, 0x40, 4, 0}}))
        << "the device is read once, 4 bytes";
}

TEST_F(HandleMmio, LoadsEachSize) {
    const std::uint64_t bytes = device().number_at(0x40, 8);
    ASSERT_TRUE(access({0x8a, 0x0b}));
    expect_done("MOV CL, memory keeps the rest of RCX",
                [&](Registers& wanted) { wanted.rcx = (wanted.rcx & ~0xffULL) | (bytes & 0xff); });
    ASSERT_TRUE(access({0x8a, 0x2b}));
    expect_done("MOV CH, memory is bits 15 to 8 of RCX", [&](Registers& wanted) {
        wanted.rcx = (wanted.rcx & ~0xff00ULL) | (bytes & 0xff) << 8;
    });
    ASSERT_TRUE(access({0x66, 0x8b, 0x0b}));
    expect_done("MOV CX, memory keeps the rest of RCX", [&](Registers& wanted) {
        wanted.rcx = (wanted.rcx & ~0xffffULL) | (bytes & 0xffff);
    });
    ASSERT_TRUE(access({0x4c, 0x8b, 0x0b}));
    expect_done("MOV R9, memory of 8 bytes", [&](Registers& wanted) { wanted.r9 = bytes; });
}

TEST_F(HandleMmio, ExtendsBySignOrByZeros) {
    for (const std::uint64_t value :
         {0x7fa5'a57f'5aa5'7f7fULL, 0x8f5a'5a80'8081'80ffULL, 0x8000'0000'8000'8080ULL}) {
        device().put(0x40, value, 8);
        const auto extended = [&](unsigned bits) {
            return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << (64 - bits)) >>
                                              (64 - bits));
        };
        const auto into_rdx = [&](std::uint64_t result) {
            return [result](Registers& wanted) { wanted.rdx = result; };
        };
        ASSERT_TRUE(access({0x0f, 0xb6, 0x13}));
        expect_done("MOVZX EDX, 1 byte", into_rdx(value & 0xff));
        ASSERT_TRUE(access({0x48, 0x0f, 0xb7, 0x13}));
        expect_done("MOVZX RDX, 2 bytes", into_rdx(value & 0xffff));
        ASSERT_TRUE(access({0x0f, 0xbe, 0x13}));
        expect_done("MOVSX EDX, 1 byte: the upper half of RDX is zeros",
                    into_rdx(extended(8) & 0xffff'ffff));
        ASSERT_TRUE(access({0x48, 0x0f, 0xbe, 0x13}));
        expect_done("MOVSX RDX, 1 byte", into_rdx(extended(8)));
        ASSERT_TRUE(access({0x48, 0x0f, 0xbf, 0x13}));
        expect_done("MOVSX RDX, 2 bytes", into_rdx(extended(16)));
        ASSERT_TRUE(access({0x48, 0x63, 0x13}));
        expect_done("MOVSXD RDX, 4 bytes", into_rdx(extended(32)));
        ASSERT_TRUE(access({0x66, 0x0f, 0xbe, 0x13}));
        expect_done("MOVSX DX, 1 byte keeps the rest of RDX", [&](Registers& wanted) {
            wanted.rdx = (wanted.rdx & ~0xffffULL) | (extended(8) & 0xffff);
        });
    }
}

TEST_F(HandleMmio, StoresEachSize) {
    const auto expect_stored = [this](const char* what, std::uint64_t value, unsigned size) {
        expect_done(what);
        EXPECT_EQ(device().accesses, (std::vector{Access{true, 0x40, size, 0}}))
            << what << ": the device is written once, and not read";
        EXPECT_EQ(device().number_at(0x40, size), low_bits(value, 8 * size))
            << what << ": wanted is " << hex(low_bits(value, 8 * size));
    };
    ASSERT_TRUE(access({0x88, 0x0b}));
    expect_stored("MOV memory, CL", registers().rcx, 1);
    ASSERT_TRUE(access({0x88, 0x2b}));
    expect_stored("MOV memory, CH", registers().rcx >> 8, 1);
    ASSERT_TRUE(access({0x40, 0x88, 0x2b}));
    expect_stored("MOV memory, BPL", registers().rbp, 1);
    ASSERT_TRUE(access({0x66, 0x89, 0x0b}));
    expect_stored("MOV memory, CX", registers().rcx, 2);
    ASSERT_TRUE(access({0x89, 0x0b}));
    expect_stored("MOV memory, ECX", registers().rcx, 4);
    ASSERT_TRUE(access({0x4c, 0x89, 0x3b}));
    expect_stored("MOV memory, R15", registers().r15, 8);
    ASSERT_TRUE(access({0xc6, 0x03, 0x9a}));
    expect_stored("MOV memory of 1 byte, 0x9a", 0x9a, 1);
    ASSERT_TRUE(access({0x48, 0xc7, 0x03, 0x01, 0x02, 0x03, 0x84}));
    expect_stored("MOV memory of 8 bytes, a negative immediate", 0xffff'ffff'8403'0201, 8);
}

// Flags, worked out in another way than by the bits of the operands.

std::uint64_t plain_flags(std::uint64_t result, unsigned size) {
    const std::uint64_t value = low_bits(result, 8 * size);
    return (value >> (8 * size - 1) != 0 ? rflags::sign : 0) | (value == 0 ? rflags::zero : 0) |
           (std::popcount(value & 0xff) % 2 == 0 ? rflags::parity : 0);
}

std::uint64_t flags_of_compare(std::uint64_t first, std::uint64_t second, unsigned size) {
    const auto as_signed = [size](std::uint64_t value) {
        return static_cast<std::int64_t>(value << (64 - 8 * size)) >> (64 - 8 * size);
    };
    std::uint64_t flags = plain_flags(first - second, size);
    if (low_bits(first, 8 * size) < low_bits(second, 8 * size)) flags |= rflags::carry;
    if ((first & 0xf) < (second & 0xf)) flags |= rflags::auxiliary_carry;
    std::int64_t difference = 0;
    const bool overflows =
        __builtin_sub_overflow(as_signed(first), as_signed(second), &difference) ||
        as_signed(static_cast<std::uint64_t>(difference)) != difference;
    return flags | (overflows ? rflags::overflow : 0);
}

constexpr std::uint64_t arithmetic = rflags::carry | rflags::parity | rflags::auxiliary_carry |
                                     rflags::zero | rflags::sign | rflags::overflow;

/// Numbers that are at a border of something, and others.
std::vector<std::uint64_t> numbers() {
    std::vector<std::uint64_t> all{0,
                                   1,
                                   0xf,
                                   0x10,
                                   0x7f,
                                   0x80,
                                   0xff,
                                   0x7fff,
                                   0x8000,
                                   0x7fff'ffff,
                                   0x8000'0000,
                                   0xffff'ffff,
                                   0x7fff'ffff'ffff'ffff,
                                   0x8000'0000'0000'0000,
                                   ~0ULL};
    for (unsigned i = 0; i < 6; ++i) all.push_back(random().next());
    return all;
}

/// All arithmetic flags set, or none: what is kept by mistake is seen.
std::uint64_t any_flags() {
    return rflags::reserved_one | (random().next() % 2 == 0 ? arithmetic : 0);
}

struct Logical {
    const char* name;
    unsigned opcode;  ///< memory first, one byte
    std::uint64_t (*result)(std::uint64_t, std::uint64_t);
};
constexpr std::array logicals{
    Logical{"AND", 0x20, [](std::uint64_t a, std::uint64_t b) { return a & b; }},
    Logical{"OR", 0x08, [](std::uint64_t a, std::uint64_t b) { return a | b; }},
    Logical{"XOR", 0x30, [](std::uint64_t a, std::uint64_t b) { return a ^ b; }},
};

TEST_F(HandleMmio, AndOrXorIntoTheDevice) {
    for (const Logical& logical : logicals)
        for (const std::uint64_t memory : numbers()) {
            device().put(0x40, memory, 8);
            registers().rflags = any_flags();
            ASSERT_TRUE(access({0x48, logical.opcode + 1, 0x0b}));
            const std::uint64_t result = logical.result(memory, before().rcx);
            EXPECT_EQ(device().accesses,
                      (std::vector{Access{false, 0x40, 8, 0}, Access{true, 0x40, 8, 0}}))
                << logical.name << " memory, RCX: the device is read and then written, once each";
            EXPECT_EQ(device().number_at(0x40, 8), result)
                << logical.name << " memory, RCX of " << hex(memory);
            // What AF becomes is not defined.
            registers().rflags &= ~rflags::auxiliary_carry;
            expect_done("flags", [&](Registers& wanted) {
                wanted.rflags = (wanted.rflags & ~arithmetic) | plain_flags(result, 8);
            });
        }
    device().put(0x40, 0x5a, 1);
    ASSERT_TRUE(access({0x80, 0x0b, 0x81}));
    EXPECT_EQ(device().number_at(0x40, 1), 0xdbU) << "OR memory of 1 byte, 0x81";
}

TEST_F(HandleMmio, AndOrXorIntoARegister) {
    for (const Logical& logical : logicals)
        for (const unsigned size : {1U, 2U, 4U}) {
            registers().rflags = any_flags();
            const std::uint64_t memory = device().number_at(0x40, size);
            if (size == 1)
                ASSERT_TRUE(access({logical.opcode + 2, 0x0b}));
            else if (size == 2)
                ASSERT_TRUE(access({0x66, logical.opcode + 3, 0x0b}));
            else
                ASSERT_TRUE(access({logical.opcode + 3, 0x0b}));
            const std::uint64_t result = logical.result(memory, low_bits(before().rcx, 8 * size));
            registers().rflags &= ~rflags::auxiliary_carry;
            expect_done(logical.name, [&](Registers& wanted) {
                wanted.rflags = (wanted.rflags & ~arithmetic) | plain_flags(result, size);
                const std::uint64_t kept = size == 4 ? 0 : ~low_bits(~0ULL, 8 * size);
                wanted.rcx = (wanted.rcx & kept) | result;
            });
            EXPECT_EQ(device().accesses, (std::vector{Access{false, 0x40, size, 0}}))
                << logical.name << " register, memory: the device is not written";
        }
}

TEST_F(HandleMmio, ComparesAndTests) {
    for (const std::uint64_t memory : numbers())
        for (const std::uint64_t other : numbers())
            for (const unsigned size : {1U, 2U, 4U, 8U}) {
                const auto flags = [&](const char* what, unsigned opcode, std::uint64_t wanted,
                                       std::uint64_t ignored = 0) {
                    device().put(0x40, memory, 8);
                    registers().rcx = other;
                    registers().rflags = any_flags();
                    const unsigned code = size == 1 ? opcode : opcode + 1;
                    if (size == 2)
                        ASSERT_TRUE(access({0x66, code, 0x0b}));
                    else if (size == 8)
                        ASSERT_TRUE(access({0x48, code, 0x0b}));
                    else
                        ASSERT_TRUE(access({code, 0x0b}));
                    EXPECT_EQ(in_words(registers().rflags & ~ignored),
                              in_words(rflags::reserved_one | wanted))
                        << what << " of " << hex(low_bits(memory, 8 * size)) << " in memory and "
                        << hex(low_bits(other, 8 * size)) << ", " << size << " bytes";
                    EXPECT_EQ(device().accesses, (std::vector{Access{false, 0x40, size, 0}}))
                        << what << ": the device is not written";
                    EXPECT_EQ(registers().rcx, other) << what << ": no register but RFLAGS changes";
                };
                flags("CMP memory, register", 0x38, flags_of_compare(memory, other, size));
                flags("CMP register, memory", 0x3a, flags_of_compare(other, memory, size));
                flags("TEST", 0x84, plain_flags(memory & other, size), rflags::auxiliary_carry);
            }
}

TEST_F(HandleMmio, LeavesTheOtherFlags) {
    constexpr std::uint64_t others = rflags::reserved_one | rflags::interrupt_enable |
                                     rflags::direction | rflags::io_privilege |
                                     rflags::alignment_check;
    registers().rflags = others | arithmetic;
    ASSERT_TRUE(access({0x39, 0x0b}));
    EXPECT_EQ(registers().rflags & ~arithmetic, others) << "CMP changes six flags";
    for (const auto flags : {others, others | arithmetic}) {
        registers().rflags = flags;
        registers().rdi = 0x7fff'f040;
        ASSERT_TRUE(access({0x89, 0x0b}));
        EXPECT_EQ(registers().rflags, flags) << "a store changes no flag";
        ASSERT_TRUE(access({0x8b, 0x0b}));
        EXPECT_EQ(registers().rflags, flags) << "a load changes no flag";
        ASSERT_TRUE(access({0x87, 0x0b}));
        EXPECT_EQ(registers().rflags, flags) << "XCHG changes no flag";
        ASSERT_TRUE(access({0xaa}));
        EXPECT_EQ(registers().rflags, flags) << "STOS changes no flag";
    }
}

TEST_F(HandleMmio, Exchanges) {
    const std::uint64_t was = device().number_at(0x40, 4);
    ASSERT_TRUE(access({0x87, 0x0b}));
    expect_done("XCHG memory, ECX", [&](Registers& wanted) { wanted.rcx = was; });
    EXPECT_EQ(device().number_at(0x40, 4), before().rcx & 0xffff'ffff)
        << "XCHG memory, ECX: the device has what ECX was";
    EXPECT_EQ(device().accesses, (std::vector{Access{false, 0x40, 4, 0}, Access{true, 0x40, 4, 0}}))
        << "the device is read and then written, once each";
    const std::uint64_t byte = device().number_at(0x40, 1);
    ASSERT_TRUE(access({0x86, 0x2b}));
    expect_done("XCHG memory, CH",
                [&](Registers& wanted) { wanted.rcx = (wanted.rcx & ~0xff00ULL) | byte << 8; });
    EXPECT_EQ(device().number_at(0x40, 1), before().rcx >> 8 & 0xff);
}

TEST_F(HandleMmio, StoresAString) {
    registers().rdi = 0x7fff'f040;
    ASSERT_TRUE(access({0xab}));
    expect_done("STOSD moves RDI up by 4, and leaves RCX",
                [](Registers& wanted) { wanted.rdi += 4; });
    EXPECT_EQ(device().number_at(0x40, 4), registers().rax & 0xffff'ffff);
    registers().rflags |= rflags::direction;
    registers().rdi = 0x7fff'f040;
    registers().rcx = 0;  // which counts for REP alone
    ASSERT_TRUE(access({0x66, 0xab}));
    expect_done("STOSW with the direction flag moves RDI down by 2",
                [](Registers& wanted) { wanted.rdi -= 2; });
    EXPECT_EQ(device().accesses, (std::vector{Access{true, 0x40, 2, 0}}));
}

TEST_F(HandleMmio, RepeatsAString) {
    registers().rflags |= arithmetic;  // which says nothing of the direction
    registers().rdi = 0x7fff'f040;
    registers().rcx = 3;
    registers().rax = 0x1122'3344'5566'7788;
    ASSERT_TRUE(access({0xf3, 0x48, 0xab}));
    expect_done("REP STOSQ, three times", [](Registers& wanted) {
        wanted.rdi += 24;
        wanted.rcx = 0;
    });
    EXPECT_EQ(device().accesses, (std::vector{Access{true, 0x40, 8, 0}, Access{true, 0x48, 8, 0},
                                              Access{true, 0x50, 8, 0}}));
    EXPECT_EQ(device().number_at(0x50, 8), 0x1122'3344'5566'7788U);
    registers().rflags |= rflags::direction;
    registers().rdi = 0x7fff'f041;
    registers().rcx = 2;
    ASSERT_TRUE(access({0xf3, 0xaa}, 0x41));
    expect_done("REP STOSB, downwards", [](Registers& wanted) {
        wanted.rdi -= 2;
        wanted.rcx = 0;
    });
    EXPECT_EQ(device().accesses, (std::vector{Access{true, 0x41, 1, 0}, Access{true, 0x40, 1, 0}}));
}

TEST_F(HandleMmio, ARepeatedStringEndsWithThePage) {
    for (const std::uint64_t count : {0x1'0000'0000, 0x1'0000'0002, 0x1'0000'0005}) {
        registers().rdi = 0x7fff'fff8;
        registers().rcx = count;
        ASSERT_TRUE(access({0xf3, 0xab}, 0xff8)) << "REP STOSD: two elements lie in the page";
        set_length(0);
        expect_done("REP STOSD: two elements lie in the page; RIP stays", [](Registers& wanted) {
            wanted.rdi += 8;
            wanted.rcx -= 2;
        });
        EXPECT_EQ(device().accesses,
                  (std::vector{Access{true, 0xff8, 4, 0}, Access{true, 0xffc, 4, 0}}))
            << "RCX was " << hex(count);
    }
    // It goes on in the next page, to its end.
    registers().rcx = 3;
    ASSERT_TRUE(access_again(0x1000));
    set_length(2);
    expect_done("REP STOSD goes on, to its end", [](Registers& wanted) {
        wanted.rdi += 12;
        wanted.rcx = 0;
    });
    EXPECT_EQ(device().accesses.size(), 3U);
}

TEST_F(HandleMmio, ARepeatedStringEndsWithThePageDownwards) {
    registers().rflags |= rflags::direction;
    registers().rdi = 0x8000'0002;
    registers().rcx = 9;
    ASSERT_TRUE(access({0xf3, 0x66, 0xab}, 0x1002));
    set_length(0);
    expect_done("REP STOSW downwards: two elements lie in the page", [](Registers& wanted) {
        wanted.rdi -= 4;
        wanted.rcx -= 2;
    });
    EXPECT_EQ(device().accesses,
              (std::vector{Access{true, 0x1002, 2, 0}, Access{true, 0x1000, 2, 0}}));
}

TEST_F(HandleMmio, AnElementOnTwoPagesWaits) {
    for (const std::uint64_t offset : {0xff9, 0xffa, 0xffb}) {
        registers().rdi = 0x7fff'f000 + offset;
        registers().rcx = 2;
        ASSERT_TRUE(access({0xf3, 0xab}, offset));
        set_length(0);
        expect_done("REP STOSD: the second element begins in the page and ends in the next one",
                    [](Registers& wanted) {
                        wanted.rdi += 4;
                        wanted.rcx -= 1;
                    });
    }
    registers().rflags |= rflags::direction;
    registers().rdi = 0x8000'0002;
    registers().rcx = 2;
    ASSERT_TRUE(access({0xf3, 0xab}, 0x1002));
    set_length(0);
    expect_done("REP STOSD downwards: the second element ends in the page and begins before it",
                [](Registers& wanted) {
                    wanted.rdi -= 4;
                    wanted.rcx -= 1;
                });
}

TEST_F(HandleMmio, ACountOfZeroStoresNothing) {
    registers().rdi = 0x7fff'f040;
    registers().rcx = 0xffff'ffff'0000'0000;
    ASSERT_TRUE(access({0xf3, 0x67, 0xab}));
    expect_done("REP STOSD with ECX = 0: nothing but RIP changes");
    EXPECT_TRUE(device().accesses.empty()) << "REP STOSD with ECX = 0 has stored";
}

TEST_F(HandleMmio, AStringCountsByTheAddressSize) {
    registers().rdi = 0x1234'5678'ffff'f040;
    registers().rcx = 0x1234'5678'0000'0002;
    ASSERT_TRUE(access({0xf3, 0x67, 0xaa}));
    expect_done("REP STOSB with prefix 67: EDI and ECX, upper halves cleared",
                [](Registers& wanted) {
                    wanted.rdi = 0xffff'f042;
                    wanted.rcx = 0;
                });
    fake().system.code_size = CodeSize::Bits16;
    fake().system.segments[0].base = 0x7000'0000;
    registers().rdi = 0x1234'5678'9abc'1040;
    registers().rcx = 0x1234'5678'9abc'0002;
    ASSERT_TRUE(access({0xf3, 0xaa}));
    expect_done("REP STOSB in 16-bit code: DI and CX, the rest is kept", [](Registers& wanted) {
        wanted.rdi = 0x1234'5678'9abc'1042;
        wanted.rcx = 0x1234'5678'9abc'0000;
    });
}

TEST_F(HandleMmio, AStringStopsWhereItsRegisterWraps) {
    fake().system.code_size = CodeSize::Bits16;
    fake().system.segments[0].base = 0x7000'0100;
    registers().rdi = 0xfffe;
    registers().rcx = 4;
    ASSERT_TRUE(access({0xf3, 0xab}, 0xfe));
    set_length(0);
    expect_done("REP STOSW: behind DI = 0xfffe comes DI = 0, which is elsewhere",
                [](Registers& wanted) {
                    wanted.rdi = 0;
                    wanted.rcx = 3;
                });
}

TEST_F(HandleMmio, AGuestThatStepsSeesEachElement) {
    registers().rflags |= rflags::trap;
    registers().rdi = 0x7fff'f040;
    registers().rcx = 2;
    ASSERT_TRUE(access({0xf3, 0xab}));
    set_length(0);
    expect_done("REP STOSD with TF: one element, and RIP stays", [](Registers& wanted) {
        wanted.rdi += 4;
        wanted.rcx = 1;
    });
    ASSERT_TRUE(access_again(0x44));
    set_length(2);
    expect_done("REP STOSD with TF: the last element", [](Registers& wanted) {
        wanted.rdi += 4;
        wanted.rcx = 0;
    });
    registers().rflags &= ~rflags::trap;
    registers().rdi = 0x7fff'f040;
    registers().rcx = 2;
    ASSERT_TRUE(access({0xf3, 0xab}));
    expect_done("REP STOSD, and TF is clear again: both elements", [](Registers& wanted) {
        wanted.rdi += 8;
        wanted.rcx = 0;
    });
}

TEST_F(HandleMmio, FetchesOverAPageBound) {
    // MOV memory, an immediate of 4 bytes: the first three bytes are at the page's end.
    const Bytes bytes = as_bytes({0x66, 0xc7, 0x03, 0xcd, 0xab});
    put(next_code_at - 3, bytes);
    registers().rip = next_code_at - 3;
    registers().rbx = 0x1040;
    set_length(bytes.size());
    ASSERT_TRUE(access_again(0x40)) << "the instruction is on two pages";
    expect_done("MOV memory, 0xabcd");
    EXPECT_EQ(device().number_at(0x40, 2), 0xabcdU);
}

TEST_F(HandleMmio, TwoVcpusAccessAtOnce) {
    put(next_code_at - 3, as_bytes({0x66, 0xc7, 0x03, 0xcd, 0xab}));  // MOV memory, 0xabcd
    put(code_at, as_bytes({0xc6, 0x03, 0x77}));                       // MOV memory, 0x77
    registers(0).rip = next_code_at - 3;
    registers(0).rbx = 0x1040;
    registers(1).rip = code_at;
    registers(1).rbx = 0x1080;
    watched_memory().before_look(Gpa{next_code_at}, [this] {
        ASSERT_TRUE(access_again(0x80, 1)) << "vCPU 1: MOV memory, a byte";
    });
    ASSERT_TRUE(access_again(0x40)) << "vCPU 0: an instruction on two pages";
    EXPECT_EQ(device().number_at(0x80, 1), 0x77U) << "what vCPU 1 has stored";
    EXPECT_EQ(device().number_at(0x40, 2), 0xabcdU)
        << "vCPU 1 has stored while vCPU 0 was at the bound of its two pages";
}

TEST_F(HandleMmio, FetchesByTheGuestsOwnTables) {
    // Linear 0xffff9000_00005000 and the page behind it are guest-physical 0x7000 and 0x6000.
    constexpr std::uint64_t linear = 0xffff'9000'0000'5000;
    for (unsigned i = 0; i < 4; ++i) map(tables_at + i * page);
    const auto entry = [this](unsigned level, unsigned index, std::uint64_t target) {
        const std::uint64_t value = target | 3;
        std::array<std::byte, 8> bytes;
        __builtin_memcpy(bytes.data(), &value, sizeof(value));
        put(tables_at + (4 - level) * page + std::uint64_t{index} * 8, bytes);
    };
    entry(4, linear >> 39 & 0x1ff, tables_at + page);
    entry(3, linear >> 30 & 0x1ff, tables_at + 2 * page);
    entry(2, linear >> 21 & 0x1ff, tables_at + 3 * page);
    entry(1, 5, next_code_at);
    entry(1, 6, code_at);
    fake().system.cr0 = vmm::cr0::paging | vmm::cr0::protection_enable;
    fake().system.cr4 = vmm::cr4::physical_address_extension;
    fake().system.efer = vmm::efer::long_mode_enable | vmm::efer::long_mode_active;
    fake().system.cr3 = tables_at;
    put(next_code_at + page - 1, as_bytes({0x8b}));
    put(code_at, as_bytes({0x0b}));
    registers().rip = linear + page - 1;
    registers().rbx = 0x1040;
    set_length(2);
    ASSERT_TRUE(access_again(0x40)) << "the instruction is on two pages of the guest's tables";
    expect_done("MOV ECX, memory",
                [this](Registers& wanted) { wanted.rcx = device().number_at(0x40, 4); });
}

TEST_F(HandleMmio, TheCodeSegmentHasABase) {
    fake().system.code_size = CodeSize::Bits32;
    fake().system.segments = {};
    fake().system.cs_base = 0xffff'f000;
    put(code_at, as_bytes({0x8b, 0x0b}));
    registers().rip = code_at + 0x1000;
    registers().rbx = 0x1040;
    set_length(2);
    ASSERT_TRUE(access_again(0x40))
        << "cs_base + RIP is 0x1'0000'6000: outside 64-bit code that is 0x6000";
    expect_done("MOV ECX, memory",
                [this](Registers& wanted) { wanted.rcx = device().number_at(0x40, 4); });
}

TEST_F(HandleMmio, CompletesTheInstructionOfThisExit) {
    ASSERT_TRUE(access({0x67, 0x48, 0x8b, 0x0b}));
    ASSERT_EQ(fake().completed.size(), 1U);
    EXPECT_EQ(fake().completed[0].instruction_length, 4) << "prefixes belong to it";
    EXPECT_EQ(fake().completed[0].rip, code_at) << "the exit that is completed is this one";
    EXPECT_EQ(fake().completed[0].code, 0x400U);
}

TEST_F(HandleMmio, SaysWhichVcpuAccesses) {
    ASSERT_TRUE(access({0x8b, 0x0b}, 0x44, 1));
    EXPECT_EQ(device().accesses, (std::vector{Access{false, 0x44, 4, 1}}));
    ASSERT_TRUE(access({0x89, 0x0b}, 0x48, 1));
    EXPECT_EQ(device().accesses, (std::vector{Access{true, 0x48, 4, 1}}));
}

TEST_F(HandleMmio, AnUnknownInstructionEndsTheVmWithItsBytes) {
    const auto handled = access({0x0f, 0x28, 0x03});
    expect_end(handled, Error::Unsupported, "MOVAPS");
    ASSERT_TRUE(handled.error().instruction) << "the report wants the instruction's bytes";
    const auto& instruction = *handled.error().instruction;
    EXPECT_EQ(instruction.count, 15) << "as many bytes as an instruction can have";
    EXPECT_EQ(in_words(std::span{instruction.bytes}.first(3)), "0f 28 03 ");
}

TEST_F(HandleMmio, BytesThatCannotBeReadEndTheVm) {
    put(next_code_at + page - 2, as_bytes({0xc7, 0x03}));
    registers().rip = next_code_at + page - 2;
    registers().rbx = 0x1040;
    const auto handled = access_again(0x40);
    expect_end(handled, Error::Truncated, "the instruction's second page is absent");
    ASSERT_TRUE(handled.error().instruction);
    EXPECT_EQ(handled.error().instruction->count, 2) << "so many bytes could be read";
}

TEST_F(HandleMmio, AnEventOnItsWayEndsTheVm) {
    put(code_at, as_bytes({0x89, 0x0b}));
    registers().rip = code_at;
    registers().rbx = 0x1040;
    fake().pending = true;
    const auto handled = access_again(0x40);
    expect_end(handled, Error::Busy,
               "an event is waiting: its stack or its table is in the device");
    EXPECT_TRUE(device().accesses.empty()) << "the instruction at RIP has not been executed";
}

TEST_F(HandleMmio, AnOperandThatBeginsElsewhereEndsTheVm) {
    put(code_at, as_bytes({0x89, 0x0b}));
    registers().rip = code_at;
    registers().rbx = 0x1ffe;  // the last two bytes of memory before the device
    const auto handled = access_again(0);
    expect_end(handled, Error::OutOfRange, "the operand begins on the page before");
    EXPECT_TRUE(device().accesses.empty()) << "the device was accessed";
}

TEST_F(HandleMmio, WhatTheDeviceRefusesEndsTheVm) {
    registers().rflags = rflags::reserved_one | arithmetic;
    device().refuses_reads = Error::NotFound;
    const std::vector asked_once{Access{false, 0x40, 4, 0}};
    for (const auto& [what, opcode] : {std::pair{"MOV ECX, memory", 0x8bU},
                                       {"CMP", 0x39U},
                                       {"TEST", 0x85U},
                                       {"OR ECX, memory", 0x0bU},
                                       {"OR memory, ECX", 0x09U},
                                       {"XCHG", 0x87U}}) {
        expect_end(access({opcode, 0x0b}), Error::NotFound,
                   (std::string{what} + ": the read is refused").c_str());
        EXPECT_EQ(device().accesses, asked_once) << what << ": the read is refused, once";
    }
    device().refuses_reads.reset();
    device().refuses_writes = Error::Unsupported;
    for (const auto& [what, opcode] :
         {std::pair{"MOV memory, ECX", 0x89U}, {"AND", 0x21U}, {"XCHG", 0x87U}}) {
        expect_end(access({opcode, 0x0b}), Error::Unsupported,
                   (std::string{what} + ": the write is refused").c_str());
        const auto writes = std::ranges::count(device().accesses, true, &Access::write);
        EXPECT_EQ(writes, 1) << what << ": the write was refused, and is not tried again";
    }
    device().refuses_writes.reset();
    expect_end(access({0x89, 0x0b}, device_bytes - 2), Error::OutOfRange,
               "4 bytes, of which the device has 2");
}

TEST_F(HandleMmio, AStringEndsWhereTheDeviceRefuses) {
    device().refuses_writes = Error::Unsupported;
    device().refuses_from = 2;
    registers().rdi = 0x7fff'f040;
    registers().rcx = 9;
    const auto handled = access({0xf3, 0xab});
    ASSERT_FALSE(handled) << "the third element is refused";
    EXPECT_TRUE(handled.error().error == Error::Unsupported);
    Registers wanted = before();
    wanted.rdi += 8;
    wanted.rcx -= 2;
    EXPECT_TRUE(same_registers(registers(), wanted)) << "two elements were stored";
    EXPECT_EQ(device().accesses.size(), 3U) << "the third element was tried once, and no fourth";
    EXPECT_TRUE(fake().completed.empty()) << "the guest does not go on";
}

}  // namespace
}  // namespace lab
