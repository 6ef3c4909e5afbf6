// SPDX-License-Identifier: MIT
#include <array>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "kern/arch/segments.hh"
#include "kern/arch/user.hh"
#include "kern/arch/user_32.hh"
#include "kern/arch/x86_64/system_state.hh"
#include "kern/mm/frame_allocator.hh"
#include "vmm/bench/bench.hh"
#include "vmm/bench/soft_bench.hh"
#include "vmm/frame_owners.hh"
#include "vmm/hypercall.hh"
#include "vmm/soft/main/host.hh"
#include "vmm/x86.hh"

extern "C" {
// bare_faults.S
void bare_protection_fault();
void bare_fill();
void bare_skip();
extern std::uint64_t* bare_table;
extern std::uint64_t bare_entry;
}

namespace vmm::bench {
namespace {

using soft::Shadows;

constexpr std::uint64_t rounds = 4000, pages = 512;
constexpr std::uint64_t small = 8 << 20, large = 256 << 20;
///@{
/// Where the code is; the pages to be touched; the guest's tables.
constexpr std::uint32_t code = 0x1'0000, area = 0x40'0000, directory = 0x1000, low_table = 0x2000,
                        table = 0x3000;
///@}
constexpr std::uint32_t written = table + 1023 * 4;  // an entry that nobody uses

/// Bytes of instructions, and numbers of 4 bytes among them.
class Code {
   public:
    Code& bytes(std::initializer_list<std::uint8_t> more) {
        for (const std::uint8_t byte : more) text_[length_++] = std::byte{byte};
        return *this;
    }
    Code& number(std::uint64_t value) {
        for (unsigned i = 0; i < 4; ++i) bytes({static_cast<std::uint8_t>(value >> 8 * i)});
        return *this;
    }
    /// A hypercall that ends a guest; without its registers it is \#UD, which ends a bare one.
    Code& end() {
        return bytes({0x31, 0xc0, 0xba}).number(hypercall::signature).bytes({0x0f, 0x01, 0xd9});
    }
    std::span<const std::byte> all() const { return std::span{text_}.first(length_); }

   private:
    std::array<std::byte, 64> text_{};
    std::size_t length_ = 0;
};

// mov $rounds, %ecx; 1: cli; dec %ecx; jnz 1b
Code many_cli() {
    return Code{}.bytes({0xb9}).number(rounds).bytes({0xfa, 0x49, 0x75, 0xfc}).end();
}
// mov $area, %eax; 1: cmpl $0, (%eax); add $4096, %eax; cmp $end, %eax; jne 1b
Code many_touches() {
    return Code{}
        .bytes({0xb8})
        .number(area)
        .bytes({0x83, 0x38, 0x00, 0x05})
        .number(page_size)
        .bytes({0x3d})
        .number(area + pages * page_size)
        .bytes({0x75, 0xf1})
        .end();
}
// cmpl $0, area; mov $written, %edi; mov $rounds, %ecx; 1: mov %eax, (%edi); dec %ecx; jnz 1b
Code many_stores() {
    return Code{}
        .bytes({0x83, 0x3d})
        .number(area)
        .bytes({0x00, 0xbf})
        .number(written)
        .bytes({0xb9})
        .number(rounds)
        .bytes({0x89, 0x07, 0x49, 0x75, 0xfb})
        .end();
}

// mov $directory, %eax; mov %eax, %cr3; mov $(PG, WP, ET, PE), %eax; mov %eax, %cr0
Code turn_paging_on() {
    return Code{}
        .bytes({0xb8})
        .number(directory)
        .bytes({0x0f, 0x22, 0xd8})
        .bytes({0xb8})
        .number(0x8001'0011)
        .bytes({0x0f, 0x22, 0xc0});
}

/// A guest's memory in one piece.
class OnePiece final : public GuestMemory {
   public:
    explicit OnePiece(std::uint64_t size)
        : size_{size},
          first_{must(kern::frames().allocate_run(frame_owner::guest_memory, size / page_size),
                      "bench: memory")} {}
    ~OnePiece() override {
        kern::frames().free_run(frame_owner::guest_memory, first_, size_ / page_size);
    }
    Hpa table_root() const override { return {}; }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault&) override {
        return std::unexpected{Error::NotFound};
    }
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override {
        if (gpa.value() >= size_) return std::unexpected{Error::NotFound};
        return first_ + gpa.value();
    }
    bool is_writable(Gpa gpa) const override { return gpa2hpa(gpa).has_value(); }
    void set_shootdown(Shootdown, void*) override {}

    std::byte* at(std::uint64_t gpa) const { return kern::arch::direct_map(first_ + gpa); }
    void put(std::uint32_t gpa, std::uint32_t value) const {
        std::memcpy(at(gpa), &value, sizeof(value));
    }

   private:
    std::uint64_t size_;
    Hpa first_;
};

/// Runs `text` as a guest's kernel with page tables. Returns nanoseconds.
std::uint64_t run_guest(const Code& text, std::uint64_t size, Shadows::Keeping keeping) {
    const OnePiece memory{size};
    constexpr std::uint32_t usual = 0x63;  // present, writable, accessed, dirty
    std::memset(memory.at(directory), 0, page_size);
    memory.put(directory, low_table | usual);
    memory.put(directory + 4, table | usual);
    for (std::uint32_t i = 0; i < 1024; ++i) {
        memory.put(low_table + 4 * i, i << 12 | usual);
        memory.put(table + 4 * i, (area + (i << 12)) | usual);
    }
    const Code paging = turn_paging_on();
    std::memcpy(memory.at(code), paging.all().data(), paging.all().size());
    std::memcpy(memory.at(code) + paging.all().size(), text.all().data(), text.all().size());
    const auto host = made<soft::Host>(memory, keeping);
    must(host->create(), "bench: tables");
    soft::SoftGuest& guest = host->guest();
    guest.start(code);
    kern::check(host->run() == soft::SoftGuest::Next::Exited, "bench: the guest did not exit");
    return host->duration();
}

/// Ring 3 without a guest: four tables, one of them for the pages that are touched.
class BareRing3 {
   public:
    BareRing3() {
        for (Hpa& each : tables_) {
            each = must(kern::frames().allocate(kern::frame_owner::page_table), "bench: frame");
            std::memset(kern::arch::direct_map(each), 0, page_size);
        }
        constexpr std::uint64_t bits = pte::present | pte::write | 1U << 2;
        kern::arch::share_kernel_half(kern::arch::direct_map(tables_[0]));
        words(0)[0] = tables_[1].value() | bits;
        words(1)[0] = tables_[2].value() | bits;
        words(2)[0] = tables_[3].value() | bits;           // the code, and the read-only page
        words(2)[area >> 21] = tables_[4].value() | bits;  // the area
        words(3)[code >> 12] =
            memory_.at(code) - kern::arch::direct_map(Hpa{}) + (pte::present | 1U << 2);
        words(3)[written >> 12] = words(3)[code >> 12];
        bare_table = words(4);
        bare_entry = (memory_.at(area) - kern::arch::direct_map(Hpa{})) + bits;
    }
    ~BareRing3() {
        for (const Hpa each : tables_) kern::frames().free(kern::frame_owner::page_table, each);
    }

    /// Runs `text`, in which exception `vector` goes to `handler`; nullptr: to the kernel's usual one,
    /// and then on_trap skips one byte. Returns nanoseconds.
    std::uint64_t run(const Code& text, unsigned vector, void (*handler)()) {
        std::memset(words(4), 0, page_size);
        std::memcpy(memory_.at(code), text.all().data(), text.all().size());
        self = this;
        const bool interrupts = kern::arch::disable_interrupts();
        const std::uint64_t before =
            handler == nullptr ? 0
                               : exchange_gate(vector, reinterpret_cast<std::uint64_t>(handler));
        kern::arch::use_address_space(tables_[0]);
        kern::arch::run_user_mode(&begin, &on_trap);
        kern::arch::use_kernel_address_space();
        if (handler != nullptr) exchange_gate(vector, before);
        kern::arch::restore_interrupts(interrupts);
        return ended_at_ - begun_at_;
    }

   private:
    std::uint64_t* words(std::size_t which) const {
        return reinterpret_cast<std::uint64_t*>(kern::arch::direct_map(tables_[which]));
    }
    /// The gate's handler [amd/vol2 4.8.4]; returns the one before.
    static std::uint64_t exchange_gate(unsigned vector, std::uint64_t handler) {
        auto* const gate = reinterpret_cast<std::uint16_t*>(
            kern::arch::read_system_state().idtr_base + std::uint64_t{16} * vector);
        std::uint64_t before = 0;
        constexpr std::array<unsigned, 4> parts{0, 3, 4, 5};  // of 16 bits each
        for (unsigned i = 0; i < parts.size(); ++i) {
            before |= std::uint64_t{gate[parts[i]]} << 16 * i;
            gate[parts[i]] = static_cast<std::uint16_t>(handler >> 16 * i);
        }
        return before;
    }
    static void begin() {
        kern::arch::allow_32_bit_programs_only();
        kern::arch::TrapFrame frame{};
        frame.rip = code;
        frame.rflags = rflags::reserved_one;
        frame.cs = kern::arch::selector::user_code;
        frame.ss = kern::arch::selector::user_data;
        self->begun_at_ = kern::arch::nanoseconds();
        kern::arch::enter_user_32(frame);
    }
    static void on_trap(const kern::arch::TrapFrame& frame) {
        if (frame.vector == vector::general_protection) {
            kern::arch::TrapFrame next = frame;
            ++next.rip;
            kern::arch::enter_user_32(next);
        }
        self->ended_at_ = kern::arch::nanoseconds();
        kern::check(frame.vector == vector::invalid_opcode, "bench: another exception");
        kern::arch::leave_user_mode();
    }

    static inline BareRing3* self = nullptr;
    OnePiece memory_{small};
    std::array<Hpa, 5> tables_{};
    std::uint64_t begun_at_ = 0, ended_at_ = 0;
};

}  // namespace

void measure_traps() {
    const auto bare = made<BareRing3>();
    struct Row {
        std::string_view name;
        Code text;
        std::uint64_t times;
        Shadows::Keeping keeping;
        unsigned vector;
        void (*handler)();
    };
    const std::array<Row, 3> all{
        Row{"soft-cli", many_cli(), rounds, Shadows::Keeping::OnDemand, vector::general_protection,
            &bare_protection_fault},
        Row{"soft-fill", many_touches(), pages, Shadows::Keeping::OnDemand, vector::page_fault,
            &bare_fill},
        Row{"soft-trace", many_stores(), rounds, Shadows::Keeping::Traced, vector::page_fault,
            &bare_skip},
    };
    for (unsigned i = 0; i < samples; ++i)
        for (const Row& row : all) {
            sample(row.name, "ours", run_guest(row.text, small, row.keeping) / row.times);
            sample(row.name, "large", run_guest(row.text, large, row.keeping) / row.times);
            sample(row.name, "floor", bare->run(row.text, row.vector, row.handler) / row.times);
            if (row.vector == vector::general_protection)
                sample(row.name, "kernel", bare->run(row.text, row.vector, nullptr) / row.times);
        }
}

}  // namespace vmm::bench
