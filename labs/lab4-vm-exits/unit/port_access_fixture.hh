// SPDX-License-Identifier: MIT
#pragma once

#include "vmm/exits/handle_port_access.hh"

#include <bit>
#include <cstring>
#include <map>

#include "exit_fixture.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/frame_owners.hh"

/// A guest whose instructions access ports, for the tests of task lab4.handle_port_access.
namespace lab {

using vmm::CodeSize;
using vmm::Gpa;
using vmm::Hpa;
using vmm::SegmentName;
using Code = std::initializer_list<std::uint8_t>;

constexpr std::uint64_t page = 4096;
constexpr std::uint64_t code_at = 0x1000;
constexpr std::uint64_t data_at = 0x8000;
constexpr std::uint64_t tables_at = 0x2'0000;
constexpr std::uint64_t pages = 64;             ///< there are so many, from 0 on
constexpr std::uint64_t mapped_at = 0x40'0000;  ///< linear, by a table of its own: see paging()
constexpr std::uint16_t console = 0xe9, scratch = 0x3ff, modem_control = 0x3fc, unknown = 0x4321;
constexpr std::uint8_t ins_byte = 0x6c, ins = 0x6d, outs_byte = 0x6e, outs = 0x6f, rep = 0xf3;

class HandlePortAccess : public ExitTest {
   protected:
    void SetUp() override {
        ExitTest::SetUp();
        std::array<Hpa, pages> frames;
        for (Hpa& frame : frames) frame = *kern::frames().allocate(vmm::frame_owner::guest_memory);
        for (std::uint64_t i = 0; i < pages; ++i)  // in another order than in the guest
            ASSERT_TRUE(
                pager().table().map(Gpa{i * page}, frames[i * 5 % pages], vmm::read_write_execute));
        start();
    }
    /// 32-bit code with flat segments and no paging; all general registers have values of their own.
    void start() {
        fill_registers();
        fake().knows_lengths = true;
        fake().system = {.cr0 = 1, .code_size = CodeSize::Bits32};
    }

    ///@{
    /// The guest's memory.
    std::byte* at(std::uint64_t gpa) {
        return kern::arch::direct_map(*vm().memory().gpa2hpa(Gpa{gpa}));
    }
    void write(std::uint64_t gpa, std::string_view text) {
        for (std::size_t i = 0; i < text.size(); ++i)
            *at(gpa + i) = static_cast<std::byte>(text[i]);
    }
    std::string read(std::uint64_t gpa, std::size_t length) {
        std::string text;
        for (std::size_t i = 0; i < length; ++i) text += static_cast<char>(*at(gpa + i));
        return text;
    }
    void write32(std::uint64_t gpa, std::uint32_t value) { std::memcpy(at(gpa), &value, 4); }
    std::uint32_t read32(std::uint64_t gpa) {
        std::uint32_t value;
        std::memcpy(&value, at(gpa), 4);
        return value;
    }
    void write64(std::uint64_t gpa, std::uint64_t value) { std::memcpy(at(gpa), &value, 8); }
    ///@}

    /// Two levels: the first 4 MiB are what they are; from mapped_at on there are the pages named, in
    /// this order, with these bits of their entries (0: not present).
    void paging(std::initializer_list<std::pair<std::uint64_t, std::uint32_t>> entries) {
        write32(tables_at, 0x87);  // a page of 4 MiB
        write32(tables_at + 4, (tables_at + page) | 7);
        std::uint64_t place = tables_at + page;
        for (const auto& [gpa, bits] : entries) {
            write32(place, static_cast<std::uint32_t>(gpa) | bits);
            place += 4;
        }
        fake().system.cr0 = 0x8001'0001;  // with WP
        fake().system.cr3 = tables_at;
        fake().system.cr4 = 0x10;  // PSE
    }
    std::uint32_t entry(std::uint64_t number) { return read32(tables_at + page + 4 * number); }

    /// Four levels, the first GiB as it is, in 64-bit code.
    void long_mode() {
        write64(tables_at, (tables_at + page) | 7);
        write64(tables_at + page, 0x87);  // a page of 1 GiB
        write64(tables_at + page + 24, 0xc000'0087);
        fake().system.cr0 = 0x8001'0001;
        fake().system.cr3 = tables_at;
        fake().system.cr4 = 0x20;  // PAE
        fake().system.efer = 0xd00;
        fake().system.code_size = CodeSize::Bits64;
    }
    void set_base(SegmentName segment, std::uint64_t base) {
        fake().system.segments[static_cast<std::size_t>(segment)] = {base, 0xffff'ffff};
    }

    /// IN or OUT.
    vmm::Handled access(std::uint16_t port, std::uint8_t size, bool in) {
        before_ = registers();
        return handle_port_access(vcpu(), {.reason = {}, .instruction_length = 1},
                                  {.port = port, .size = size, .in = in});
    }
    /// A string instruction with these bytes, at `place`; RIP is there, if a test does not say more.
    vmm::Handled string(Code code, std::uint16_t port, std::uint8_t size = 1,
                        std::uint64_t place = code_at) {
        if (place == code_at) registers().rip = code_at;
        std::uint64_t to = place;
        bool repeat = false;
        for (const std::uint8_t byte : code) {
            *at(to++) = std::byte{byte};
            repeat = repeat || byte == rep;
        }
        length_ = static_cast<std::uint8_t>(code.size());
        const std::uint8_t opcode = *std::prev(code.end());
        return call({.port = port,
                     .size = size,
                     .in = opcode == ins_byte || opcode == ins,
                     .string = true,
                     .repeat = repeat});
    }
    vmm::Handled call(const vmm::exit::PortAccess& what) {
        before_ = registers();
        last_ = what;
        return handle_port_access(vcpu(), {.reason = {}, .instruction_length = length_}, what);
    }
    /// The guest executes the same instruction again.
    vmm::Handled again() { return call(last_); }

    const Registers& before() const { return before_; }
    /// The registers as they were, but for those that `changes` changes, and RIP behind the
    /// instruction.
    template <class Change>
    ::testing::AssertionResult done_but(Change change, std::uint8_t length) {
        Registers wanted = before_;
        change(wanted);
        wanted.rip += length;
        return same_registers(registers(), wanted);
    }
    template <class Change>
    ::testing::AssertionResult done_but(Change change) {
        return done_but(change, length_);
    }
    /// RIP is at the instruction still.
    template <class Change>
    ::testing::AssertionResult stopped_but(Change change) {
        return done_but(change, 0);
    }
    static void nothing(Registers&) {}

    /// What the guest has printed since the last time.
    std::string printed() {
        vm().flush_lines();
        const std::string all = kern::arch::fake::console();
        std::string news = all.substr(seen_);
        seen_ = all.size();
        return news;
    }
    /// One exception was injected, and nothing else.
    ::testing::AssertionResult injected(std::uint8_t vector, std::uint32_t error_code) {
        if (fake().injected.size() != 1)
            return ::testing::AssertionFailure()
                   << fake().injected.size() << " events were injected; wanted: one, vector "
                   << unsigned{vector};
        const auto code = fake().error_codes.back();
        if (fake().injected.back() == vector && code == error_code)
            return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure()
               << "vector " << unsigned{fake().injected.back()} << " was injected, error code "
               << (code ? hex(*code) : "none") << "; wanted: vector " << unsigned{vector}
               << ", error code " << hex(error_code);
    }
    /// The lengths of the instructions that have ended.
    std::vector<unsigned> skipped() {
        std::vector<unsigned> lengths;
        for (const Exit& exit : fake().completed) lengths.push_back(exit.instruction_length);
        return lengths;
    }
    void forget_events() {
        fake().pending = false;
        fake().injected.clear();
        fake().error_codes.clear();
        fake().completed.clear();
    }

   private:
    Registers before_{};
    vmm::exit::PortAccess last_{};
    std::uint8_t length_ = 1;
    std::size_t seen_ = 0;
};

}  // namespace lab
