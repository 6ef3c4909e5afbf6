// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <tuple>

#include "soft_memory.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/soft/shadow_fill.hh"
#include "vmm/soft/shadow_flush.hh"
#include "vmm/soft/shadow_trace.hh"

/// A real CPU in miniature, for the cases about shadow tables: it knows the shadow tables alone, has a
/// TLB that forgets nothing by itself, and calls the functions under test as the kernel does.
namespace lab {

using vmm::GuestAccess;
using vmm::soft::Filled;
using vmm::soft::Forget;
using vmm::soft::ShadowEntry;
using vmm::soft::Shadows;
using vmm::soft::Traced;

class FakeTable final : public vmm::soft::ShadowTable {
   public:
    std::expected<void, Error> set(Gva address, const ShadowEntry& entry) override {
        EXPECT_TRUE(address.is_aligned()) << hex(address.value());
        EXPECT_TRUE(entry.frame.is_aligned()) << hex(entry.frame.value());
        if (fails) return std::unexpected{Error::OutOfMemory};
        entries[address.value()] = entry;
        return {};
    }
    std::optional<ShadowEntry> get(Gva address) const override {
        const auto found = entries.find(address.value());
        if (found == entries.end()) return std::nullopt;
        return found->second;
    }
    void clear(Gva address) override {
        EXPECT_TRUE(address.is_aligned()) << hex(address.value());
        entries.erase(address.value());
    }
    void clear_4_mib(Gva first) override {
        std::erase_if(
            entries, [first](const auto& each) { return each.first >> 22 == first.value() >> 22; });
    }
    void clear_all() override { entries.clear(); }
    void protect(kern::Hpa frame) override {
        for (auto& [address, entry] : entries)
            if (entry.frame == frame) entry.write = false;
    }

    std::map<std::uint64_t, ShadowEntry> entries;
    bool fails = false;
};

class FakeMachine final : public vmm::soft::ShadowMachine {
   public:
    FakeTable& table(unsigned slot, bool user) override { return tables_[2 * slot + user]; }
    void flush_page(Gva address) override {
        for (auto& each : tlb) each.erase(address.value() & ~0xfffULL);
    }
    void flush_all() override {
        ++flushes;
        for (auto& each : tlb) each.clear();
    }

    std::array<std::map<std::uint64_t, ShadowEntry>, 2> tlb;  ///< by mode
    unsigned flushes = 0;

   private:
    std::array<FakeTable, std::size_t{2} * vmm::soft::shadow_slots> tables_;
};

class ShadowTest : public ::testing::Test {
   protected:
    ///@{
    /// Two directories, which share the table for the first 4 MiB, and each its table for the next.
    static constexpr std::uint32_t directory = 0xa000, low_table = 0xb000, table = 0xc000,
                                   other_directory = 0xd000, other_table = 0xe000;
    ///@}
    static constexpr std::uint32_t area = 0x0040'0000;  ///< where `table` maps
    static constexpr std::uint32_t data = 0x1'0000;     ///< the first of the pages to be mapped

    void begin(Shadows::Keeping keeping) {
        kern::arch::fake::reset();
        memory_ = std::make_unique<Memory>();
        machine_ = std::make_unique<FakeMachine>();
        shadows_ = std::make_unique<Shadows>(*machine_, *memory_, keeping);
        for (const auto& [root, second] :
             {std::pair{directory, table}, std::pair{other_directory, other_table}}) {
            memory().put<std::uint32_t>(root, low_table | all);
            memory().put<std::uint32_t>(root + 4, second | all);
        }
        for (std::uint32_t i = 0; i < Memory::pages; ++i)
            memory().put<std::uint32_t>(low_table + 4 * i, i * page | p | rw);
        cpu.cr0 = cr0_pe | cr0_pg | cr0_wp;
        cpu.cr3 = directory;
        shadows().activate(directory);
    }
    Memory& memory() { return *memory_; }
    FakeMachine& machine() { return *machine_; }
    Shadows& shadows() { return *shadows_; }
    FakeTable& kernels() { return static_cast<FakeTable&>(shadows().active(false)); }
    FakeTable& users() { return static_cast<FakeTable&>(shadows().active(true)); }
    kern::Hpa frame(std::uint32_t gpa) { return *memory().gpa2hpa(Gpa{gpa}); }

    /// Entry `index` of `table`: page number `number` of the data.
    void map(std::uint32_t index, std::uint32_t number, std::uint32_t rights = all,
             std::uint32_t in = table) {
        memory().put<std::uint32_t>(in + 4 * index, (data + number * page) | rights);
    }
    std::uint32_t entry(std::uint32_t index, std::uint32_t in = table) {
        return memory().get(in + 4 * index);
    }

    Filled fill(std::uint32_t address, bool write = false, bool fetch = false) {
        return shadow_fill(cpu, memory(), shadows(), Gva{address},
                           {.write = write, .fetch = fetch, .user = cpu.user_mode});
    }

    /// What the guest meets.
    struct Met {
        std::optional<kern::Hpa> place{};   ///< where the access went
        std::optional<GuestFault> fault{};  ///< or its own page fault
        bool traced = false;                ///< the write was done by shadow_trace
    };
    /// The guest accesses `address`; `bytes` is its instruction, if the access is a write.
    Met access(std::uint32_t address, bool write, const Bytes& bytes = {}) {
        const std::uint64_t at = address & ~0xfffU;
        auto& tlb = machine().tlb[cpu.user_mode];
        for (unsigned left = 8; left-- > 0;) {
            auto cached = tlb.find(at);
            if (cached == tlb.end())
                if (const auto found = shadows().active(cpu.user_mode).get(Gva{at}))
                    cached = tlb.emplace(at, *found).first;
            if (cached != tlb.end() && (!write || cached->second.write))
                return {.place = cached->second.frame + address % page};
            tlb.erase(at);  // as a CPU does that faults
            const Filled filled = fill(address, write);
            switch (filled.kind) {
                case Filled::Kind::Entry: break;
                case Filled::Kind::Fault: return {.fault = filled.fault};
                case Filled::Kind::Table:
                    if (shadow_trace(cpu, memory(), shadows(), Gva{address}, bytes) == Traced::Done)
                        return {.traced = true};
                    break;
                default: ADD_FAILURE() << "neither memory nor frames are short here"; return {};
            }
        }
        ADD_FAILURE() << "the guest faults at " << hex(address) << " for ever";
        return {};
    }
    /// `mov %ecx, (%edi)`, by the guest's kernel.
    Met store(std::uint32_t address, std::uint32_t value) {
        cpu.registers.rcx = value;
        cpu.registers.rdi = address;
        const Met met = access(address, true, {std::byte{0x89}, std::byte{0x0f}});
        if (met.place) std::memcpy(kern::arch::direct_map(*met.place), &value, sizeof(value));
        return met;
    }
    ///@{
    /// What the guest tells its CPU, served as the kernel does it.
    void write_cr3(std::uint32_t value) {
        cpu.cr3 = value;
        if (shadows().is_loose()) shadow_flush(shadows(), {.kind = Forget::Kind::Everything});
        shadows().activate(value);
        for (auto& each : machine().tlb) each.clear();  // the real CR3 changes
    }
    void invalidate(std::uint32_t address) {
        if (shadows().is_loose())
            shadow_flush(shadows(), {.kind = Forget::Kind::Page, .address = Gva{address}});
    }
    ///@}

    SoftCpu cpu;

   private:
    std::unique_ptr<Memory> memory_;
    std::unique_ptr<FakeMachine> machine_;
    std::unique_ptr<Shadows> shadows_;
};

inline std::string in_words(const Filled& filled) {
    switch (filled.kind) {
        case Filled::Kind::Entry: return "an entry";
        case Filled::Kind::Table: return "\"table\"";
        case Filled::Kind::Fault: return "the guest's fault: " + in_words(filled.fault);
        case Filled::Kind::NoMemory: return "\"no memory\"";
        case Filled::Kind::NoFrame: return "\"no frame\"";
    }
    return "?";
}
inline ::testing::AssertionResult comes_to(const Filled& seen, const Filled& wanted) {
    if (seen == wanted) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "it comes to " << in_words(seen) << ", wanted is " << in_words(wanted);
}
inline ::testing::AssertionResult fills(const Filled& seen) {
    return comes_to(seen, {.kind = Filled::Kind::Entry});
}
inline ::testing::AssertionResult reflects(const Filled& seen, std::uint32_t code,
                                           std::uint32_t address) {
    return comes_to(seen, {.kind = Filled::Kind::Fault, .fault = pf(code, address)});
}
/// Whether an entry is there: of this frame, and to be written or not.
inline ::testing::AssertionResult is_entry(const std::optional<ShadowEntry>& seen, kern::Hpa frame,
                                           bool write) {
    if (seen && seen->frame == frame && seen->write == write) return ::testing::AssertionSuccess();
    if (!seen) return ::testing::AssertionFailure() << "there is no entry in the shadow";
    return ::testing::AssertionFailure()
           << "the shadow's entry leads to " << hex(seen->frame.value())
           << (seen->write ? ", writable" : ", read-only") << "; wanted is " << hex(frame.value())
           << (write ? ", writable" : ", read-only");
}

/// What a guest's CPU may answer, whose TLB may hold any translation that its tables have had
/// since it was told to forget it. Works the tables' entries out by itself.
class Reference {
   public:
    /// A translation: where to, and which rights the entries give.
    struct Translation {
        bool present = false;
        std::uint32_t page = 0;
        bool write = false, user = false, dirty = false;
        auto operator<=>(const Translation&) const = default;
    };
    explicit Reference(Memory& memory) : memory_{memory} {}

    /// What the tables at `cr3` say of `address` now.
    Translation now(std::uint32_t cr3, std::uint32_t address) const {
        const auto upper = memory_.get(cr3 + 4 * (address >> 22));
        if ((upper & p) == 0) return {};
        const auto lower = memory_.get((upper & ~0xfffU) + 4 * (address >> 12 & 1023));
        if ((lower & p) == 0) return {};
        return {.present = true,
                .page = lower & ~0xfffU,
                .write = (upper & lower & rw) != 0,
                .user = (upper & lower & us) != 0,
                .dirty = (lower & dirty) != 0};
    }
    /// The tables have changed, or may have.
    void look(std::uint32_t cr3, const std::vector<std::uint32_t>& addresses) {
        for (const std::uint32_t address : addresses) seen_[address].insert(now(cr3, address));
    }
    /// The CPU was told to forget `address`.
    void forget(std::uint32_t cr3, std::uint32_t address) { seen_[address] = {now(cr3, address)}; }
    /// All that the CPU may believe of `address`.
    const std::set<Translation>& may_be(std::uint32_t address) { return seen_[address]; }

   private:
    Memory& memory_;
    std::map<std::uint32_t, std::set<Translation>> seen_;
};

}  // namespace lab
