// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <optional>

#include "kern/lib/fixed.hh"
#include "vmm/soft/soft_cpu.hh"

namespace vmm::soft {

/// What a shadow table says of one page. Ring 3 may read and execute it.
struct ShadowEntry {
    Hpa frame{};         ///< where the page lies in the machine, page-aligned
    bool write = false;  ///< ring 3 may write it
    /// Both are equal.
    bool operator==(const ShadowEntry&) const = default;
};

/// A page table that the real CPU uses while the guest runs: from the guest's linear addresses to
/// machine addresses. Changes here do not reach the CPU's TLB, see ShadowMachine.
class ShadowTable {
   public:
    ShadowTable() = default;
    ShadowTable(const ShadowTable&) = delete;
    ShadowTable& operator=(const ShadowTable&) = delete;
    virtual ~ShadowTable() = default;

    /// Puts an entry in, in the place of one that is there. `page` is page-aligned and below 4 GiB.
    /// Errors: OutOfMemory (no frame for a table).
    virtual std::expected<void, Error> set(Gva page, const ShadowEntry& entry) = 0;
    /// What is there; nothing if there is no entry.
    virtual std::optional<ShadowEntry> get(Gva page) const = 0;
    ///@{
    /// Takes out the entry of one page, of the 4 MiB from `first` on, all of them. Nothing happens
    /// where there is none.
    virtual void clear(Gva page) = 0;
    virtual void clear_4_mib(Gva first) = 0;
    virtual void clear_all() = 0;
    ///@}
    /// Takes the right to write from every entry of `frame`.
    virtual void protect(Hpa frame) = 0;
};

/// How many guest tables can have shadows at once.
inline constexpr unsigned shadow_slots = 8;

/// The real CPU, as far as shadows need it.
class ShadowMachine {
   public:
    ShadowMachine() = default;
    ShadowMachine(const ShadowMachine&) = delete;
    ShadowMachine& operator=(const ShadowMachine&) = delete;
    virtual ~ShadowMachine() = default;

    /// The tables of one slot, below shadow_slots: one for the guest's kernel mode, one for its
    /// user mode.
    virtual ShadowTable& table(unsigned slot, bool user) = 0;
    ///@{
    /// Makes the CPU's TLB forget one page, or everything. It may hold whatever stood in a shadow
    /// table since it last forgot it.
    virtual void flush_page(Gva page) = 0;
    virtual void flush_all() = 0;
    ///@}
};

/// The shadow tables of a guest, and which of the guest's own tables they were made of.
///
/// For each of the guest's page directories (a value of CR3) there is a pair of shadow tables: what
/// is the kernel's own must not be there while its programs run, and ring 3 is all that the real
/// CPU sees.
///
/// **Option one** (Keeping::OnDemand): there is one pair. It is filled on demand, and forgets what
/// the guest tells the CPU to forget: like a TLB, only larger. Nothing is traced.
///
/// **Option two** (Keeping::Traced): up to shadow_slots pairs, kept when CR3 changes. The guest's
/// tables that they were made of are *traced*: nobody may write them but by a trap, so that the
/// shadows always say what they say. A pair can be made *loose*: then it is as in option one, until
/// CR3 is written the next time.
class Shadows {
   public:
    /// The lecture's two options.
    enum class Keeping : std::uint8_t { OnDemand, Traced };
    /// A place where a traced table of the guest is used.
    struct Use {
        Gpa table{};           ///< the table's page
        Gpa root{};            ///< the directory to whose shadows it belongs
        bool is_root = false;  ///< it is that directory itself
        Gva first{};           ///< what its entry 0 is for: 0 for a directory, else 4 MiB * n
        /// All of them are equal.
        bool operator==(const Use&) const = default;
    };
    ///@{
    /// How many uses can be traced at once, and how many of one table. When there are more, a pair
    /// is made loose.
    static constexpr unsigned most_uses = 128;
    static constexpr unsigned most_uses_of_a_table = 16;
    ///@}
    /// Those of one table.
    using Uses = kern::FixedList<Use, most_uses_of_a_table>;

    /// @param machine  stays the caller's
    /// @param memory   likewise: where the guest's pages are in the machine
    /// @param keeping  which option
    Shadows(ShadowMachine& machine, const GuestMemory& memory, Keeping keeping)
        : machine_{machine}, memory_{memory}, keeping_{keeping} {}

    /// Which of the two options this is.
    Keeping keeping() const { return keeping_; }
    /// The real CPU.
    ShadowMachine& machine() { return machine_; }

    /// The guest's CR3 is now `cr3`: its pair is the active one from now on. With option two the
    /// pair is the one that was kept, and no longer loose; if there is no slot, that of another
    /// directory is emptied and taken. What a CR3 write forgets is not this function's business.
    void activate(std::uint32_t cr3);

    /// The active pair's table for the guest's kernel or user mode.
    ShadowTable& active(bool user) { return machine_.table(active_, user); }
    /// The active pair's directory.
    Gpa active_root() const { return slots_[active_].root; }
    /// The table for `user` of the pair of `root`; nullptr if there is no such pair (any more).
    ShadowTable* of(Gpa root, bool user);
    /// Whether the active pair is loose: always, with option one.
    bool is_loose() const { return keeping_ == Keeping::OnDemand || slots_[active_].loose; }

    /// The active pair is about to get an entry for `address`, which comes from directory `cr3`
    /// and, by its entry, from the table at `table`. Both are traced from now on, and no entry of
    /// any shadow may write them any more. Does nothing if the pair is loose.
    void trace(std::uint32_t cr3, Gpa table, Gva address);
    /// Whether the page at `page` is traced: ring 3 may not write it.
    bool is_traced(Gpa page) const;
    /// Where the table at `page` is used: a copy, which later changes do not reach.
    Uses uses(Gpa page) const;
    /// The entry of directory `root` for the 4 MiB from `first` on does not lead to a table any
    /// more, or to another one: that use is none any more. The shadows keep their entries.
    void drop_use(Gpa root, Gva first);
    /// Drops the pair of `root`: it is empty, all its uses are none any more, and it is loose. The
    /// CPU's TLB is the caller's business.
    void loosen(Gpa root);
    /// The way in which the guest translates has changed: all pairs are emptied, all uses are none
    /// any more, and the CPU's TLB is flushed. Which pair is active stays.
    void forget_all();

   private:
    struct Slot {
        Gpa root{};
        bool used = false;
        bool loose = false;
    };
    void empty(unsigned slot);
    void add_use(const Use& use);
    template <class Condition>
    void drop_uses_if(Condition condition);
    void protect(Gpa page);

    ShadowMachine& machine_;
    const GuestMemory& memory_;
    Keeping keeping_;
    std::array<Slot, shadow_slots> slots_{};
    unsigned active_ = 0;
    unsigned next_victim_ = 0;
    std::array<Use, most_uses> uses_{};
    unsigned use_count_ = 0;
};

}  // namespace vmm::soft
