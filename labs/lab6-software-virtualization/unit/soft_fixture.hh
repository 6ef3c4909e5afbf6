// SPDX-License-Identifier: MIT
#pragma once

#include "soft_memory.hh"
#include "vmm/soft/instruction.hh"
#include "vmm/x86.hh"

/// A guest with a GDT, an IDT, a TSS and stacks, at addresses that are physical ones until a case
/// turns paging on.
namespace lab {

using vmm::SegmentName;
using vmm::soft::SensitiveInstruction;

///@{
/// Selectors of the GDT; `none` is beyond its end.
constexpr std::uint16_t kernel_code = 0x08, kernel_data = 0x10, user_code = 0x1b, user_data = 0x23,
                        tss = 0x28, absent_user_data = 0x33, conforming_code = 0x38,
                        absent_code = 0x40, read_only = 0x48, user_read_only = 0x53,
                        execute_only = 0x5b, absent_data = 0x60, absent_tss = 0x68, busy_tss = 0x70,
                        absent_user_code = 0x7b, none = 0x80;
///@}

class SoftTest : public ::testing::Test {
   protected:
    static constexpr std::uint32_t gdt = 0x1000, idt = 0x2000, tss_base = 0x3010, stack0 = 0x6000,
                                   user_stack = 0x8000, code = 0x9000, directory = 0xa000,
                                   table = 0xb000;
    static constexpr std::uint32_t low_bits = 0x0000'0cd5;  ///< flags that programs have

    void SetUp() override {
        kern::arch::fake::reset();
        memory_ = std::make_unique<Memory>();
        const auto segment = [](unsigned type, unsigned dpl, bool present) {
            return 0x00cf'0000'0000'ffffULL | std::uint64_t{type | 0x10} << 40 |
                   std::uint64_t{dpl} << 45 | std::uint64_t{present} << 47;
        };
        const auto system = [](unsigned type, bool present) {
            return std::uint64_t{tss_base & 0xff'ffff} << 16 | std::uint64_t{tss_base >> 24} << 56 |
                   0x67 | std::uint64_t{type} << 40 | std::uint64_t{present} << 47;
        };
        descriptor(kernel_code, segment(0xa, 0, true));
        descriptor(kernel_data, segment(2, 0, true));
        descriptor(user_code, segment(0xa, 3, true));
        descriptor(user_data, segment(2, 3, true));
        descriptor(tss, system(9, true));
        descriptor(absent_user_data, segment(2, 3, false));
        descriptor(conforming_code, segment(0xe, 0, true));
        descriptor(absent_code, segment(0xa, 0, false));
        descriptor(read_only, segment(0, 0, true));
        descriptor(user_read_only, segment(0, 3, true));
        descriptor(execute_only, segment(8, 3, true));
        descriptor(absent_data, segment(2, 0, false));
        descriptor(absent_tss, system(9, false));
        descriptor(busy_tss, system(0xb, true));
        descriptor(absent_user_code, segment(0xa, 3, false));
        memory().put<std::uint32_t>(tss_base + 4, stack0);
        memory().put<std::uint32_t>(tss_base + 8, kernel_data);

        cpu.cr0 = cr0_pe;
        cpu.gdtr = {.base = gdt, .limit = none - 1};
        cpu.idtr = {.base = idt, .limit = 256 * 8 - 1};
        cpu.tr = {.selector = tss, .base = tss_base, .limit = 0x67};
        for (unsigned i = 0; i < 8; ++i)
            cpu.registers.*vmm::general_registers[i] = random().next() & 0xffff'ffff;
        in_kernel();
    }
    Memory& memory() { return *memory_; }
    void descriptor(std::uint16_t selector, std::uint64_t value) {
        memory().put(gdt + (selector & 0xfff8U), value);
    }
    /// A gate of the IDT: 0xe is an interrupt gate, 0xf a trap gate.
    void gate(unsigned vector, std::uint32_t handler, unsigned dpl = 0, unsigned type = 0xe,
              std::uint16_t selector = kernel_code, bool present = true) {
        memory().put<std::uint32_t>(idt + 8 * vector,
                                    std::uint32_t{selector} << 16 | (handler & 0xffff));
        memory().put<std::uint32_t>(idt + 8 * vector + 4, (handler & 0xffff'0000) |
                                                              std::uint32_t{present} << 15 |
                                                              dpl << 13 | type << 8);
    }
    ///@{
    /// The guest's kernel, or a program, is at `code`. The real flags have IF, as ring 3 has.
    void in_kernel() {
        cpu.user_mode = false;
        cpu.selectors = {kernel_data, kernel_code, kernel_data, kernel_data, 0, 0};
        cpu.registers.rip = code;
        cpu.registers.rsp = 0x5f00;
        cpu.registers.rflags = 0x202;
    }
    void in_program() {
        cpu.user_mode = true;
        cpu.selectors = {user_data, user_code, user_data, user_data, 0, 0};
        cpu.registers.rip = code;
        cpu.registers.rsp = user_stack;
        cpu.registers.rflags = 0x202;
        cpu.interrupts_enabled = true;
    }
    ///@}
    /// Turns paging on: the first 64 pages at the same addresses, with these rights, but for those in
    /// `gone`.
    void with_paging(std::uint32_t rights = all, const std::set<std::uint32_t>& gone = {}) {
        memory().put<std::uint32_t>(directory, table | all);
        for (std::uint32_t i = 0; i < 1024; ++i)
            memory().put<std::uint32_t>(table + 4 * i, i < Memory::pages && !gone.contains(i * page)
                                                           ? i * page | rights
                                                           : 0);
        cpu.cr3 = directory;
        cpu.cr0 = cr0_pe | cr0_pg | cr0_wp;
    }
    /// Everything of the CPU that a fault must leave as it is, in words; to be compared.
    std::string state() const {
        std::string words;
        const auto add = [&words](const char* name, std::uint64_t value) {
            words += std::string{name} + "=" + hex(value) + " ";
        };
        static constexpr const char* names[] = {"EAX", "ECX", "EDX", "EBX",
                                                "ESP", "EBP", "ESI", "EDI"};
        for (unsigned i = 0; i < 8; ++i) add(names[i], cpu.registers.*vmm::general_registers[i]);
        add("EIP", cpu.registers.rip);
        add("EFLAGS", cpu.registers.rflags);
        add("user", cpu.user_mode);
        add("IF", cpu.interrupts_enabled);
        add("halted", cpu.halted);
        add("CR0", cpu.cr0);
        add("CR2", cpu.cr2);
        add("CR3", cpu.cr3);
        add("CR4", cpu.cr4);
        add("GDT", cpu.gdtr.base);
        add("IDT", cpu.idtr.base);
        add("TR", cpu.tr.selector);
        static constexpr const char* segments[] = {"ES", "CS", "SS", "DS", "FS", "GS"};
        for (unsigned i = 0; i < 6; ++i) add(segments[i], cpu.selectors[i]);
        return words;
    }

    SoftCpu cpu;

   private:
    std::unique_ptr<Memory> memory_;
};

}  // namespace lab
