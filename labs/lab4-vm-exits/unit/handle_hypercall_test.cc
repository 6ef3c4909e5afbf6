// SPDX-License-Identifier: MIT
// Task lab4.handle_hypercall.
#include "vmm/exits/handle_hypercall.hh"

#include <cstring>

#include "exit_fixture.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

namespace lab {
namespace {

namespace hypercall = vmm::hypercall;

using Values = std::initializer_list<std::uint64_t>;
constexpr std::uint64_t page = 4096;
constexpr std::uint64_t text_at = 0x5000;  ///< three pages are there, and none behind them

class HandleHypercall : public ExitTest {
   protected:
    void SetUp() override {
        ExitTest::SetUp();
        fill_registers(0);
        fill_registers(1);
        for (unsigned i = 0; i < 3; ++i) {
            pages_[i] = *kern::frames().allocate(vmm::frame_owner::guest_memory);
            // In another order than in the guest.
            ASSERT_TRUE(pager().table().map(vmm::Gpa{text_at + (i * 2 % 3) * page}, pages_[i],
                                            vmm::read_write_execute));
        }
    }
    /// Puts text into the guest's memory.
    void write(std::uint64_t gpa, std::string_view text) {
        for (std::size_t i = 0; i < text.size(); ++i)
            *kern::arch::direct_map(*vm().memory().gpa2hpa(vmm::Gpa{gpa + i})) =
                static_cast<std::byte>(text[i]);
    }
    void write32(std::uint64_t gpa, std::uint32_t value) {
        std::array<char, 4> bytes;
        std::memcpy(bytes.data(), &value, 4);
        write(gpa, {bytes.data(), 4});
    }
    /// The guest's call; the name of its result, or the number if it is none.
    std::string call(std::uint64_t number, std::uint64_t rbx = 0, std::uint64_t rcx = 0,
                     std::uint64_t rdx = hypercall::signature, unsigned index = 0) {
        registers(index).rax = number;
        registers(index).rbx = rbx;
        registers(index).rcx = rcx;
        registers(index).rdx = rdx;
        const Registers before = registers(index);
        EXPECT_TRUE(handle_hypercall(vcpu(index), {})) << "the VM was ended by a hypercall";
        Registers wanted = before;
        wanted.rax = registers(index).rax;
        wanted.rip += 1;
        EXPECT_TRUE(same_registers(registers(index), wanted)) << "RAX alone has the result";
        for (const auto& [name, value] : {std::pair{"ok", hypercall::ok},
                                          {"bad_number", hypercall::bad_number},
                                          {"bad_address", hypercall::bad_address},
                                          {"bad_argument", hypercall::bad_argument},
                                          {"no_signature", hypercall::no_signature},
                                          {"no_privilege", hypercall::no_privilege}})
            if (registers(index).rax == value) return name;
        return hex(registers(index).rax);
    }
    /// What the guest has printed since the last time.
    std::string printed() {
        const std::string all = kern::arch::fake::console();
        const std::string news = all.substr(seen_);
        seen_ = all.size();
        return news;
    }

   private:
    std::array<kern::Hpa, 3> pages_{};
    std::size_t seen_ = 0;
};

TEST_F(HandleHypercall, ExitEndsTheVm) {
    call(hypercall::exit, 0x1'0000'0007, 0, hypercall::signature, 1);
    EXPECT_EQ(registers(1).rax, hypercall::exit) << "exit has no result";
    ASSERT_TRUE(vm().ending());
    EXPECT_EQ(vm().result().end, vmm::VmResult::End::Exited);
    EXPECT_EQ(vm().result().status, 0x1'0000'0007U);
    EXPECT_EQ(vm().result().vcpu, 1U);
}

TEST_F(HandleHypercall, PrintsALine) {
    write(text_at + 0x123, "hello, world");
    EXPECT_EQ(call(hypercall::print, text_at + 0x123, 12), "ok");
    EXPECT_EQ(printed(), "[test] hello, world\n");
}

TEST_F(HandleHypercall, PrintsNoByteTooMany) {
    write(text_at, "abcdefgh");
    EXPECT_EQ(call(hypercall::print, text_at + 1, 3), "ok");
    EXPECT_EQ(printed(), "[test] bcd\n");
    EXPECT_EQ(call(hypercall::print, text_at, 0), "ok") << "no bytes";
    EXPECT_EQ(printed(), "");
}

TEST_F(HandleHypercall, ABufferMayLieOnTwoPages) {
    write(text_at + page - 3, "over the bound");
    EXPECT_EQ(call(hypercall::print, text_at + page - 3, 14), "ok");
    EXPECT_EQ(printed(), "[test] over the bound\n");
    // As long as may be, on two pages.
    std::string text;
    std::string wanted;
    for (unsigned i = 0; i < hypercall::print_limit / 16; ++i) {
        const std::string line = "line " + std::to_string(1000 + i) + "......";
        text += line + "\n";
        wanted += "[test] " + line + "\n";
    }
    ASSERT_EQ(text.size(), hypercall::print_limit);
    write(text_at + 0x800, text);
    EXPECT_EQ(call(hypercall::print, text_at + 0x800, text.size()), "ok");
    EXPECT_TRUE(printed() == wanted) << "4096 bytes of text are printed as they are";
    // Lines of 10 bytes, over two pages; what a handler reads at a time must not show.
    std::string lines;
    while (lines.size() < page + 100) lines += "123456789\n";
    write(text_at, lines);
    for (const std::size_t length : {10, 130, 260, 270, 520, 600, 1030, 1100, 2050, 4090}) {
        std::string printable;
        for (std::size_t done = 0; done < length; done += 10) printable += "[test] 123456789\n";
        EXPECT_EQ(call(hypercall::print, text_at, length), "ok");
        EXPECT_TRUE(printed() == printable) << length << " bytes, and no more, are printed";
    }
}

TEST_F(HandleHypercall, TwoVcpusCallAtOnce) {
    write(text_at + page - 5, "of vCPU 0\n");
    write(text_at + 0x100, "from CPU 1\n");
    watched_memory().before_look(vmm::Gpa{text_at + page}, [this] {
        EXPECT_EQ(call(hypercall::print, text_at + 0x100, 11, hypercall::signature, 1), "ok");
    });
    EXPECT_EQ(call(hypercall::print, text_at + page - 5, 10), "ok");
    EXPECT_EQ(printed(), "[test] from CPU 1\n[test] of vCPU 0\n")
        << "vCPU 1 has called while vCPU 0 was at the bound of its two pages";
}

TEST_F(HandleHypercall, TheAddressIsGuestVirtual) {
    // Two levels: the page at 0x4000'0000 is the last one of the three.
    constexpr std::uint64_t root = text_at, table = text_at + page, last = text_at + 2 * page;
    write32(root + 4 * (0x4000'0000 >> 22), table | 3);
    write32(table, last | 3);
    write(last, "translated");
    fake().system.cr0 = 0x8000'0001;
    fake().system.cr3 = root;
    EXPECT_EQ(call(hypercall::print, 0x4000'0000, 10), "ok");
    EXPECT_EQ(printed(), "[test] translated\n");
    EXPECT_EQ(call(hypercall::print, last, 10), "bad_address")
        << "a guest-physical address, which is not mapped";
}

TEST_F(HandleHypercall, ABadPointerIsABadAddress) {
    for (const std::uint64_t address : Values{std::uint64_t{0}, text_at + 3 * page, 0xfee0'0000ULL,
                                              1ULL << 32, 0xffff'ffff'ffff'fff0ULL})
        EXPECT_EQ(call(hypercall::print, address, 4), "bad_address") << hex(address);
    EXPECT_EQ(call(hypercall::print, text_at + 3 * page - 2, 4), "bad_address")
        << "the last two bytes are not there";
    EXPECT_FALSE(vm().ending());
}

TEST_F(HandleHypercall, TooLongIsABadArgument) {
    for (const std::uint64_t length : Values{hypercall::print_limit + 1, 1ULL << 32, ~0ULL})
        EXPECT_EQ(call(hypercall::print, text_at, length), "bad_argument") << length << " bytes";
    EXPECT_EQ(printed(), "") << "nothing is printed";
}

TEST_F(HandleHypercall, AnUnknownNumberIsABadNumber) {
    for (const std::uint64_t number : Values{std::uint64_t{3}, std::uint64_t{99}, 1ULL << 32,
                                             (1ULL << 32) + hypercall::print, ~0ULL})
        EXPECT_EQ(call(number, text_at, 4), "bad_number") << hex(number);
    EXPECT_FALSE(vm().ending());
    EXPECT_EQ(printed(), "");
}

TEST_F(HandleHypercall, WithoutTheSignatureNothingIsDone) {
    for (const std::uint64_t rdx :
         Values{std::uint64_t{0}, hypercall::signature + 1, hypercall::signature | 1ULL << 40})
        for (const std::uint64_t number :
             Values{hypercall::exit, hypercall::print, std::uint64_t{99}})
            EXPECT_EQ(call(number, text_at, 4, rdx), "no_signature") << "RDX is " << hex(rdx);
    EXPECT_FALSE(vm().ending()) << "the VM has ended";
    EXPECT_EQ(printed(), "");
}

TEST_F(HandleHypercall, OnlyTheKernelMayCall) {
    for (unsigned ring = 1; ring < 4; ++ring) {
        fake().ring = ring;
        for (const std::uint64_t number :
             Values{hypercall::exit, hypercall::print, std::uint64_t{99}})
            EXPECT_EQ(call(number, text_at, 4), "no_privilege") << "CPL " << ring;
        EXPECT_EQ(call(hypercall::exit, 0, 0, 0), "no_signature")
            << "CPL " << ring << ", and no signature: that comes first";
    }
    EXPECT_FALSE(vm().ending()) << "the VM has ended";
    EXPECT_EQ(printed(), "");
}

}  // namespace
}  // namespace lab
