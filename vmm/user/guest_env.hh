// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <utility>

#include "kern/proc/env.hh"
#include "vmm/guest_memory.hh"
#include "vmm/paging/second_level_table.hh"
#include "vmm/probe.hh"
#include "vmm/user/guest_evidence.hh"
#include "vmm/user/guest_probe.hh"
#include "vmm/vm.hh"

namespace vmm {

/// A guest's memory that consists of pages which some program gave: nothing is loaded, and a guest
/// that touches what nobody gave is ended. Each leaf of the table owns one counted reference to its
/// frame (kern::UserFrame).
class MappedMemory final : public GuestMemory {
   public:
    /// `bytes` of guest-physical memory, of which no page is there. Error: OutOfMemory.
    static std::expected<std::unique_ptr<MappedMemory>, Error> create(const EntryFormat& format,
                                                                      std::uint64_t bytes);

    /// Guest-physical addresses from 0 up to here may be mapped; a multiple of the page size.
    std::uint64_t bytes() const { return bytes_; }
    ///@{
    /// The pages that are there. Who maps one gives the table a reference: UserFrame::release.
    SecondLevelTable& table() { return table_; }
    const SecondLevelTable& table() const { return table_; }
    ///@}

    ///@{
    /// See GuestMemory.
    Hpa table_root() const override { return table_.root(); }
    std::expected<void, Error> serve_fault(const exit::NestedPageFault& fault) override;
    std::expected<Hpa, Error> gpa2hpa(Gpa gpa) const override;
    bool is_writable(Gpa gpa) const override { return table_.is_writable(gpa); }
    void set_shootdown(Shootdown shootdown, void* context) override;
    ///@}

   private:
    MappedMemory(SecondLevelTable&& table, std::uint64_t bytes)
        : table_{std::move(table)}, bytes_{bytes} {}

    SecondLevelTable table_;
    std::uint64_t bytes_;
};

/// A guest as an environment: what runs in the place of a program in ring 3. One virtual CPU, which
/// runs in slices, on one CPU or another.
class GuestEnv final : public kern::Runner {
   public:
    /// What a guest is made with; see env_mkguest.
    struct Options {
        std::uint64_t memory_bytes = 0;  ///< a multiple of the page size, not 0
        std::uint64_t rip = 0;           ///< below 64 KiB and below memory_bytes
        bool hypercalls = false;  ///< they are served; otherwise the first one ends the guest
    };

    /// Makes a guest environment, in state Unstarted, whose parent is `owner` (it is kept, if that
    /// is: Env::keep; and probed as Env::probe says). Errors: InvalidArgument (an option outside of
    /// its range, or a probe that there is not), OutOfMemory. The process layer's lock is held. Needs no hardware: that is guest_start's affair.
    static std::expected<kern::EnvId, Error> make(const kern::Env& owner, const EntryFormat& format,
                                                  const Options& options);
    ~GuestEnv() override;

    /// Makes the virtual CPU, by the backend that was given to Vm::prepare, and puts it where it
    /// begins. `env` is its environment. Errors: AlreadyExists (there is one), OutOfMemory.
    std::expected<void, Error> start(const kern::Env& env);

    ///@{
    /// Its memory.
    MappedMemory& memory() { return *memory_; }
    const MappedMemory& memory() const { return *memory_; }
    /// Guest-physical addresses from 0 up to here may be mapped; a multiple of the page size.
    std::uint64_t memory_bytes() const { return memory_->bytes(); }
    /// Its second-level table: format() and root() are what ept_map_hva2gpa wants.
    SecondLevelTable& table() { return memory_->table(); }
    ///@}

    /// Who looks into the guests' vCPUs, for evidence; to be called before the first start().
    static void set_probe(const Probe& probe) { vendor_probe = &probe; }

    /// One slice; see kern::Runner.
    std::optional<kern::Ending> run(kern::Env& env, std::uint64_t slice_end) override;

   private:
    GuestEnv(std::unique_ptr<MappedMemory> memory, const Options& options, GuestProbe probe)
        : memory_{std::move(memory)}, options_{options}, probe_{probe} {}

    static SwitchProbe& probe_of(Vcpu& vcpu) { return vendor_probe->of(vcpu.backend()); }
    static void note_end(void* guest, const kern::Env& env);
    bool is_time_to_move(const Vcpu& vcpu);
    kern::Ending finish(Vcpu& vcpu);
    void note_state(kern::Env& env, Vcpu& vcpu);

    static inline const Probe* vendor_probe = nullptr;
    std::unique_ptr<MappedMemory> memory_;
    Options options_;
    GuestProbe probe_;
    std::unique_ptr<Vm> vm_;         // not there before start()
    GuestRecord* record_ = nullptr;  // nullptr: the block was full
    GuestEnd end_ = GuestEnd::Running;
    std::uint64_t exits_until_move_ = 0;  // counted from its start
    std::optional<unsigned> last_cpu_;
};

/// The guest in `env`, or nullptr if that is an ordinary program.
GuestEnv* guest_of(kern::Env& env);

/// The living environment `id`, if `caller` may do with it as it likes: it is the caller itself,
/// whose identifier 0 is, or a child of the caller. Otherwise nullptr. The process layer's lock is
/// held.
kern::Env* find_own(kern::Env& caller, kern::EnvId id);

}  // namespace vmm
