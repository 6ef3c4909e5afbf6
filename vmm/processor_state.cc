// SPDX-License-Identifier: MIT
#include "vmm/processor_state.hh"

#include <utility>

#include "vmm/frame_owners.hh"

namespace vmm {

std::expected<ProcessorState, kern::Error> ProcessorState::create() {
    auto fpu = kern::FpuState::create(frame_owner::vcpu);
    if (!fpu) return std::unexpected{fpu.error()};
    return ProcessorState{std::move(*fpu)};
}

void ProcessorState::load() {
    // The guest may have turned on and off what it liked in its XCR0: all components move, with the
    // host's, which has all of them on.
    fpu_.load();
    if (kern::arch::has_xsave()) {
        host_xcr0_ = kern::arch::read_xcr0();
        kern::arch::write_xcr0(xcr0_);
    }
    kern::arch::write_breakpoints(breakpoints_);
    loaded_ = true;
}

void ProcessorState::save() {
    breakpoints_ = kern::arch::read_breakpoints();
    kern::arch::write_breakpoints({});
    loaded_ = false;
    if (kern::arch::has_xsave()) {
        xcr0_ = kern::arch::read_xcr0();
        kern::arch::write_xcr0(host_xcr0_);
    }
    fpu_.save();
}

void ProcessorState::reset_breakpoints() {
    breakpoints_ = {};
    if (loaded_) kern::arch::write_breakpoints(breakpoints_);
}

}  // namespace vmm
