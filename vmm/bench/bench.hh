// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "kern/arch/arch.hh"
#include "kern/fs/file_system.hh"
#include "kern/lib/panic.hh"
#include "kern/lib/print.hh"
#include "vmm/backend.hh"
#include "vmm/pager/kernel_vm.hh"

/// What the measurements of the benchmark kernel share.
namespace vmm::bench {

/// How often each side of a row is measured.
inline constexpr unsigned samples = 9;

template <class T, class E>
T must(std::expected<T, E> result, std::string_view what) {
    kern::check(result.has_value(), what);
    return std::move(*result);
}

inline void must(std::expected<void, Error> result, std::string_view what) {
    kern::check(result.has_value(), what);
}

/// A T on the heap. (Not every compiler's <memory> for a bare machine has std::make_unique.)
template <class T, class... Arguments>
std::unique_ptr<T> made(Arguments&&... arguments) {
    std::unique_ptr<T> one{new (std::nothrow) T(std::forward<Arguments>(arguments)...)};
    kern::check(one != nullptr, "bench: memory");
    return one;
}

/// Prints one measurement.
inline void sample(std::string_view row, std::string_view side, std::uint64_t value) {
    kern::kprint("bench {} {} {}\n", row, side, value);
}

/// Says that what comes until the next sample is done `count` times: for a clock outside of the
/// machine. An emulator may count instructions, and take each for as long as any other.
inline void timed(std::uint64_t count) {
    kern::kprint("timed {}\n", count);
}

/// Nanoseconds since it was made.
class Stopwatch {
   public:
    std::uint64_t elapsed() const { return kern::arch::nanoseconds() - start_; }

   private:
    std::uint64_t start_ = kern::arch::nanoseconds();
};

inline std::unique_ptr<KernelVmPager> make_pager(const Backend& backend, kern::File image,
                                                 std::uint64_t ram_kib) {
    return must(KernelVmPager::from_image(image, ram_kib, *backend.format), "bench: pager");
}

inline KernelVm make_vm(std::unique_ptr<KernelVmPager> pager) {
    return must(KernelVm::create(std::move(pager), {.name = "bench"}, {}), "bench: VM");
}

inline void run_to_exit(Vm& vm) {
    kern::check(vm.run().end == VmResult::End::Exited, "bench: the guest did not exit by itself");
}

/// Every page of the image before the start, as a pager that is not lazy would do. Returns how many
/// there were.
std::uint64_t load_eagerly(KernelVmPager& pager);

/// A guest whose memory is filled in three ways: eagerly by the kernel, by a program through
/// sys_ept_map, and lazily. Time for each page, and frames.
///
/// @param pages    touch.elf, whose guest reads a word of each page; lies in `files`
/// @param program  load.elf, the program
void measure_loading(const Backend& backend, const kern::FileSystem& files, kern::File pages,
                     kern::File program);

}  // namespace vmm::bench
