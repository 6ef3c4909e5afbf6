// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "vmm/soft/shadows.hh"

namespace vmm::soft {

/// A shadow table of long mode's form, four levels of 8-byte entries, whose upper half is the
/// kernel's [amd/vol2 5.3]. A table of the guest's, of 1024 entries, is two of these.
class HardwareTable final : public ShadowTable {
   public:
    HardwareTable() = default;
    /// Gives all frames back; it must not be in CR3.
    ~HardwareTable() override;

    /// Takes the frames that every table needs. Error: OutOfMemory.
    std::expected<void, Error> create();

    std::expected<void, Error> set(Gva page, const ShadowEntry& entry) override;
    std::optional<ShadowEntry> get(Gva page) const override;
    void clear(Gva page) override;
    void clear_4_mib(Gva first) override;
    void clear_all() override;
    void protect(Hpa frame) override;

    /// For CR3.
    Hpa root() const { return root_; }

   private:
    /// The table of level 1 for 2 MiB; nullptr if there is none.
    std::uint64_t* last_level(std::uint64_t address) const;
    template <class Work>
    void for_each_entry(Work work);

    Hpa root_{};
    Hpa pointers_{};                               // the table of level 3
    std::array<std::uint64_t*, 4> directories_{};  // of 1 GiB each
    // Which tables of level 1 there are, a bit for each 2 MiB: few of 2048, and none goes again.
    std::array<std::uint64_t, 32> made_{};
};

/// The CPU that executes this.
class HardwareMachine final : public ShadowMachine {
   public:
    /// Makes the tables of all slots. Error: OutOfMemory.
    std::expected<void, Error> create();
    HardwareTable& table(unsigned slot, bool user) override {
        return tables_[2 * slot + (user ? 1 : 0)];
    }
    void flush_page(Gva page) override;
    void flush_all() override;

    /// This CPU translates by `table` from now on; nothing happens if it does already.
    void use(const HardwareTable& table) {
        if (in_use_ == table.root()) return;
        in_use_ = table.root();
        load();
    }
    /// It translates by the kernel's own tables again.
    void leave();
    /// How often CR3 was written for the guest.
    std::uint64_t loads() const { return loads_; }

   private:
    void load();

    std::array<HardwareTable, std::size_t{2} * shadow_slots> tables_{};
    Hpa in_use_{};
    std::uint64_t loads_ = 0;
};

}  // namespace vmm::soft
