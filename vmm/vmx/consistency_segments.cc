// SPDX-License-Identifier: MIT
// The rules for the guest's segment registers [intel/vol3c 27.3.1.2].
#include <array>

#include "vmm/address.hh"
#include "vmm/backend.hh"
#include "vmm/vmx/consistency_rules.hh"

namespace vmm::vmx {
namespace {

/// A segment register's fields and their names.
struct SegmentFields {
    Field selector, base, limit, rights;
    const char *selector_name, *base_name, *limit_name, *rights_name;
};
#define SEGMENT(name, text)                                                  \
    constexpr SegmentFields name{                                            \
        Field::guest_##name##_selector, Field::guest_##name##_base,          \
        Field::guest_##name##_limit,    Field::guest_##name##_access_rights, \
        "guest " text " selector",      "guest " text " base",               \
        "guest " text " limit",         "guest " text " access rights"}
SEGMENT(es, "ES");
SEGMENT(cs, "CS");
SEGMENT(ss, "SS");
SEGMENT(ds, "DS");
SEGMENT(fs, "FS");
SEGMENT(gs, "GS");
SEGMENT(ldtr, "LDTR");
SEGMENT(tr, "TR");
#undef SEGMENT

constexpr std::uint64_t table_indicator = 4;  // of a selector: in the LDT
constexpr std::uint64_t requested_privilege = 3;
constexpr std::uint64_t upper_half = 0xffff'ffff'0000'0000;
constexpr std::uint64_t virtual_8086_flag = 1ULL << 17;
constexpr std::uint64_t virtual_8086_rights = 0xf3;
constexpr std::uint64_t virtual_8086_limit = 0xffff;
constexpr unsigned virtual_8086_shift = 4;
constexpr std::uint64_t limit_low = 0xfff;
constexpr std::uint64_t limit_high = 0xfff0'0000;

namespace type {
constexpr std::uint64_t accessed = 1;
constexpr std::uint64_t readable = 2;
constexpr std::uint64_t writable_data = 3;
constexpr std::uint64_t expand_down_data = 7;
constexpr std::uint64_t code = 8;
constexpr std::uint64_t conforming = 4;
constexpr std::uint64_t local_table = 2;
constexpr std::uint64_t busy_16_task = 3;
constexpr std::uint64_t busy_task = 11;
}  // namespace type

bool is_virtual_8086(const Vmcs& v) {
    return all_set(v.read(Field::guest_rflags), virtual_8086_flag);
}
bool is_unrestricted(const Vmcs& v) {
    return secondary(v, secondary_control::unrestricted_guest);
}
bool is_long(const Vmcs& v) {
    return on_entry(v, entry_control::ia32e_mode_guest);
}
bool is_usable(const Vmcs& v, const SegmentFields& segment) {
    return none_set(v.read(segment.rights), access_rights::unusable);
}
std::uint64_t type_of(const Vmcs& v, const SegmentFields& segment) {
    return v.read(segment.rights) & access_rights::type;
}
std::uint64_t privilege(const Vmcs& v, const SegmentFields& segment) {
    return (v.read(segment.rights) >> access_rights::privilege_shift) & 3;
}
/// Whether the rules for access rights outside of virtual-8086 mode hold for it.
bool is_checked(const Vmcs& v, const SegmentFields& segment) {
    return !is_virtual_8086(v) && is_usable(v, segment);
}
bool granularity_fits(const Vmcs& v, const SegmentFields& segment) {
    const std::uint64_t limit = v.read(segment.limit);
    const bool pages = all_set(v.read(segment.rights), access_rights::granularity);
    return pages ? all_set(limit, limit_low) : none_set(limit, limit_high);
}

template <const SegmentFields& segment>
constexpr ConsistencyRule flat_in_virtual_8086(const char* rule) {
    return {segment.base_name, rule, value_of<segment.base>, [](const Vmcs& v, const CpuLimits&) {
                return !is_virtual_8086(v) ||
                       (v.read(segment.base) == v.read(segment.selector) << virtual_8086_shift &&
                        v.read(segment.limit) == virtual_8086_limit &&
                        v.read(segment.rights) == virtual_8086_rights);
            }};
}
template <const SegmentFields& segment>
constexpr ConsistencyRule canonical_base(const char* rule) {
    return {segment.base_name, rule, value_of<segment.base>,
            [](const Vmcs& v, const CpuLimits& limits) {
                return !is_usable(v, segment) ||
                       is_canonical(v.read(segment.base), limits.linear_bits);
            }};
}
template <const SegmentFields& segment>
constexpr ConsistencyRule short_base(const char* rule) {
    return {segment.base_name, rule, value_of<segment.base>, [](const Vmcs& v, const CpuLimits&) {
                return !is_usable(v, segment) || none_set(v.read(segment.base), upper_half);
            }};
}
template <const SegmentFields& segment>
constexpr ConsistencyRule data_type(const char* rule) {
    return {segment.rights_name, rule, value_of<segment.rights>,
            [](const Vmcs& v, const CpuLimits&) {
                const std::uint64_t now = type_of(v, segment);
                return !is_checked(v, segment) ||
                       (all_set(now, type::accessed) &&
                        (none_set(now, type::code) || all_set(now, type::readable)));
            }};
}
template <const SegmentFields& segment>
constexpr ConsistencyRule code_or_data(const char* rule) {
    return {segment.rights_name, rule, value_of<segment.rights>,
            [](const Vmcs& v, const CpuLimits&) {
                const std::uint64_t now = v.read(segment.rights);
                return !is_checked(v, segment) ||
                       (all_set(now, access_rights::not_system | access_rights::present) &&
                        none_set(now, access_rights::reserved));
            }};
}
template <const SegmentFields& segment>
constexpr ConsistencyRule granularity(const char* rule) {
    return {segment.limit_name, rule, value_of<segment.limit>, [](const Vmcs& v, const CpuLimits&) {
                return !is_checked(v, segment) || granularity_fits(v, segment);
            }};
}

constexpr std::array rules{
    // Selectors
    ConsistencyRule{tr.selector_name, "TR must be in the GDT (TI)", value_of<tr.selector>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return none_set(v.read(tr.selector), table_indicator);
                    }},
    ConsistencyRule{ldtr.selector_name, "LDTR must be in the GDT (TI)", value_of<ldtr.selector>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !is_usable(v, ldtr) ||
                               none_set(v.read(ldtr.selector), table_indicator);
                    }},
    ConsistencyRule{ss.selector_name, "the RPL of SS must be that of CS", value_of<ss.selector>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return is_virtual_8086(v) || is_unrestricted(v) ||
                               none_set(v.read(ss.selector) ^ v.read(cs.selector),
                                        requested_privilege);
                    }},
    // Virtual-8086 mode: base, limit and access rights
    flat_in_virtual_8086<cs>("in virtual-8086 mode CS is 64 KiB at its selector times 16"),
    flat_in_virtual_8086<ss>("in virtual-8086 mode SS is 64 KiB at its selector times 16"),
    flat_in_virtual_8086<ds>("in virtual-8086 mode DS is 64 KiB at its selector times 16"),
    flat_in_virtual_8086<es>("in virtual-8086 mode ES is 64 KiB at its selector times 16"),
    flat_in_virtual_8086<fs>("in virtual-8086 mode FS is 64 KiB at its selector times 16"),
    flat_in_virtual_8086<gs>("in virtual-8086 mode GS is 64 KiB at its selector times 16"),
    // Bases
    canonical_base<tr>("the guest's TR base must be canonical"),
    ConsistencyRule{fs.base_name, "the guest's FS base must be canonical", value_of<fs.base>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return is_canonical(v.read(fs.base), limits.linear_bits);
                    }},
    ConsistencyRule{gs.base_name, "the guest's GS base must be canonical", value_of<gs.base>,
                    [](const Vmcs& v, const CpuLimits& limits) {
                        return is_canonical(v.read(gs.base), limits.linear_bits);
                    }},
    canonical_base<ldtr>("the guest's LDTR base must be canonical"),
    ConsistencyRule{
        cs.base_name, "bits 63:32 of the CS base must be zero", value_of<cs.base>,
        [](const Vmcs& v, const CpuLimits&) { return none_set(v.read(cs.base), upper_half); }},
    short_base<ss>("bits 63:32 of the SS base must be zero"),
    short_base<ds>("bits 63:32 of the DS base must be zero"),
    short_base<es>("bits 63:32 of the ES base must be zero"),
    // Access rights
    ConsistencyRule{cs.rights_name,
                    "CS must be usable, and accessed code; in an unrestricted guest it may be "
                    "writable data",
                    value_of<cs.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t now = type_of(v, cs);
                        return is_virtual_8086(v) ||
                               (is_usable(v, cs) &&
                                (all_set(now, type::code | type::accessed) ||
                                 (is_unrestricted(v) && now == type::writable_data)));
                    }},
    ConsistencyRule{ss.rights_name, "SS must be writable, accessed data", value_of<ss.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t now = type_of(v, ss);
                        return !is_checked(v, ss) || now == type::writable_data ||
                               now == type::expand_down_data;
                    }},
    data_type<ds>("DS must be accessed, and readable if it is code"),
    data_type<es>("ES must be accessed, and readable if it is code"),
    data_type<fs>("FS must be accessed, and readable if it is code"),
    data_type<gs>("GS must be accessed, and readable if it is code"),
    code_or_data<cs>("CS: S and P must be set, and the reserved bits clear"),
    code_or_data<ss>("SS: S and P must be set, and the reserved bits clear"),
    code_or_data<ds>("DS: S and P must be set, and the reserved bits clear"),
    code_or_data<es>("ES: S and P must be set, and the reserved bits clear"),
    code_or_data<fs>("FS: S and P must be set, and the reserved bits clear"),
    code_or_data<gs>("GS: S and P must be set, and the reserved bits clear"),
    ConsistencyRule{cs.rights_name,
                    "the DPL of CS must fit the ring, which is the DPL of SS: equal, at most equal "
                    "if conforming, 0 if it is data",
                    value_of<cs.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        if (is_virtual_8086(v)) return true;
                        const std::uint64_t ring = privilege(v, cs);
                        if (type_of(v, cs) == type::writable_data) return ring == 0;
                        return all_set(type_of(v, cs), type::conforming) ? ring <= privilege(v, ss)
                                                                         : ring == privilege(v, ss);
                    }},
    ConsistencyRule{ss.rights_name, "the DPL of SS must be its RPL", value_of<ss.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return is_virtual_8086(v) || is_unrestricted(v) ||
                               privilege(v, ss) == (v.read(ss.selector) & requested_privilege);
                    }},
    ConsistencyRule{ss.rights_name, "the DPL of SS must be 0 in real mode, and where CS is data",
                    value_of<ss.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return is_virtual_8086(v) || privilege(v, ss) == 0 ||
                               (type_of(v, cs) != type::writable_data &&
                                all_set(v.read(Field::guest_cr0), cr0::protection_enable));
                    }},
    ConsistencyRule{
        cs.rights_name, "in IA-32e mode CS.L and CS.D must not both be set", value_of<cs.rights>,
        [](const Vmcs& v, const CpuLimits&) {
            return is_virtual_8086(v) || !is_long(v) ||
                   !all_set(v.read(cs.rights), access_rights::long_mode | access_rights::size_32);
        }},
    granularity<cs>("CS: G must be set exactly where the limit is one of pages"),
    granularity<ss>("SS: G must be set exactly where the limit is one of pages"),
    granularity<ds>("DS: G must be set exactly where the limit is one of pages"),
    granularity<es>("ES: G must be set exactly where the limit is one of pages"),
    granularity<fs>("FS: G must be set exactly where the limit is one of pages"),
    granularity<gs>("GS: G must be set exactly where the limit is one of pages"),
    ConsistencyRule{tr.rights_name,
                    "TR must be a usable, present, busy TSS; in IA-32e mode not a 16-bit one",
                    value_of<tr.rights>,
                    [](const Vmcs& v, const CpuLimits&) {
                        const std::uint64_t now = v.read(tr.rights);
                        const bool is_task = type_of(v, tr) == type::busy_task ||
                                             (!is_long(v) && type_of(v, tr) == type::busy_16_task);
                        return is_task && all_set(now, access_rights::present) &&
                               none_set(now, access_rights::not_system | access_rights::reserved |
                                                 access_rights::unusable);
                    }},
    ConsistencyRule{tr.limit_name, "TR: G must be set exactly where the limit is one of pages",
                    value_of<tr.limit>,
                    [](const Vmcs& v, const CpuLimits&) { return granularity_fits(v, tr); }},
    ConsistencyRule{
        ldtr.rights_name, "LDTR must be a present LDT, or unusable", value_of<ldtr.rights>,
        [](const Vmcs& v, const CpuLimits&) {
            const std::uint64_t now = v.read(ldtr.rights);
            return !is_usable(v, ldtr) ||
                   (type_of(v, ldtr) == type::local_table && all_set(now, access_rights::present) &&
                    none_set(now, access_rights::not_system | access_rights::reserved));
        }},
    ConsistencyRule{ldtr.limit_name, "LDTR: G must be set exactly where the limit is one of pages",
                    value_of<ldtr.limit>,
                    [](const Vmcs& v, const CpuLimits&) {
                        return !is_usable(v, ldtr) || granularity_fits(v, ldtr);
                    }},
};

}  // namespace

std::span<const ConsistencyRule> segment_rules() {
    return rules;
}

}  // namespace vmm::vmx
