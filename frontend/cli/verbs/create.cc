#include "frontend/cli/verbs/create.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "frontend/cli/table.h"
#include "frontend/cli/terminal.h"
#include "frontend/cli/verbs/images.h"
#include "frontend/cli/verbs/settings.h"
#include "frontend/container/make/create.h"
#include "frontend/export/settings.h"
#include "frontend/spec/nearest.h"
#include "frontend/spec/shell_words.h"
#include "frontend/spec/tell.h"
#include "frontend/spec/values.h"
#include "policy/cgroup_conf.h"
#include "policy/text.h"
#include "policy/try.h"

namespace userns::frontend {
namespace {

void note(std::string text) {
  tell("userns-run", {.rule = {}, .code = 0, .text = std::move(text)});
}

std::string to_text(const UnpackCounts& counts) {
  return concat(counts.entries, " files, ", size_for_people(counts.bytes));
}

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto size = parse_setting("memory.max", text);
  const auto bytes = size ? parse_decimal(size->text) : std::nullopt;
  if (!bytes || *bytes == 0)
    return fail({}, concat("--max-size ", quoted(text), " is not a size, such as 512M or 2G"));
  return *bytes;
}

Result<std::uint64_t> parse_count(std::string_view text) {
  const auto count = parse_decimal(text);
  if (!count || *count == 0 || *count > kLargestId)
    return fail({}, concat("--ids ", quoted(text), " is not a number of ids"));
  return *count;
}

// Option by option; a repeatable one adds up.
Result<ConfigFile> config_of(const Words& words) {
  ConfigFile config;
  const auto add = [&](std::string_view key, std::string_view typed) -> Result<void> {
    const auto value = TRY(value_to_store(key, typed));
    auto added = config.add(key, value);
    return added ? added : fail({}, concat("--", added.error().text));
  };
  for (std::string_view word : words.container) {
    const auto key = take_until(word, '=').substr(2);
    TRY(add(key, word));
  }
  for (const auto* const key : {"group", "autostart", "restart", "hook"})
    for (const auto value : words.all(key)) TRY(add(key, value));
  if (!words.has_command) return config;
  if (words.command.empty())
    return fail({}, "no command after --: write one, or leave out the -- to start its init");
  TRY(add("command", join_words(words.command)));
  return config;
}

Result<CreateSource> template_of(const Words& words, std::string_view name) {
  constexpr std::string_view kNames[]{"busybox", "debian"};
  if (name == "busybox") return FromBusybox{};
  if (name != "debian")
    return fail({}, concat("there is no template ", quoted(name), did_you_mean(name, kNames),
                           "; there are busybox and debian"));
  FromDebian debian;
  debian.wish.suite = words.one("suite").value_or("");
  for (const auto package : words.all("package")) debian.wish.packages.emplace_back(package);
  return debian;
}

Result<void> check_modifiers(const Words& words, const CreateSource& source) {
  const auto only = [&](std::string_view option, std::string_view with,
                        bool given) -> Result<void> {
    return words.has(option) && !given ? fail({}, concat("--", option, " goes with ", with))
                                       : Result<void>{};
  };
  if (auto good = only("trust", "--import", words.has("import")); !good) return good;
  for (const auto& option : {kAuthOption, kCertOption, kPlainOption})
    if (auto good = only(option.name, "--image", words.has("image")); !good) return good;
  const bool debian = std::holds_alternative<FromDebian>(source);
  if (auto good = only("suite", "--template debian", debian); !good) return good;
  if (auto good = only("package", "--template debian", debian); !good) return good;
  const bool from = std::holds_alternative<FromContainer>(source);
  if (auto good = only("snapshot", "--from", from); !good) return good;
  if (auto good = only("instant", "--from", from); !good) return good;
  return only("copy", "--from or --image", from || std::holds_alternative<FromImage>(source));
}

Result<CreateSource> source_of(const Words& words, const ConfigFile& config) {
  const auto settings = config.settings();
  const bool adopts = std::ranges::find(settings, "rootfs", &Setting::key) != settings.end();
  const auto tar = words.one("tar");
  const auto import = words.one("import");
  const auto made = words.one("template");
  const auto from = words.one("from");
  const auto image = words.one("image");
  const std::array given{tar.has_value(),  import.has_value(), made.has_value(),
                         from.has_value(), image.has_value(),  adopts};
  const auto sources = std::ranges::count(given, true);
  if (sources != 1)
    return fail({}, concat(sources == 0 ? "no source given" : "a container has one source",
                           "; give one of --tar FILE, --import FILE, --image REF, --template "
                           "busybox, --from NAME and --rootfs DIR"));
  auto source = adopts   ? Result<CreateSource>(FromDirectory{})
                : tar    ? FromArchive{std::string(*tar)}
                : import ? FromArchive{std::string(*import)}
                : image  ? Result<CreateSource>(FromImage{})
                : from   ? Result<CreateSource>(FromContainer{
                             std::string(*from), words.has("instant"), words.has("snapshot")})
                         : template_of(words, *made);
  if (source) TRY(check_modifiers(words, *source));
  return source;
}

Result<CreateWish> wish_of(const Words& words) {
  if (words.names.size() != 1)
    return fail({}, "create takes one name: userns-run create NAME --template busybox");
  auto name = TRY(container_name(words.names.front()));
  auto config = TRY(config_of(words));
  auto source = TRY(source_of(words, config));
  CreateWish wish{.name = std::move(name),
                  .source = std::move(source),
                  .config = std::move(config),
                  .id_count = {},
                  .share_ids = {},
                  .copy = false,
                  .how = {},
                  .take_exported = {}};
  wish.copy = words.has("copy");
  if (words.has("import"))
    wish.take_exported = [trust = words.has("trust")](ConfigFile& own, std::string_view text,
                                                      std::vector<std::string>& notes) {
      return take_exported(own, text, trust, notes);
    };
  if (const auto text = words.one("ids")) {
    const auto count = TRY(parse_count(*text));
    wish.id_count = count;
  }
  if (const auto other = words.one("share-ids")) wish.share_ids = std::string(*other);
  if (const auto text = words.one("max-size")) {
    const auto size = TRY(parse_size(*text));
    wish.how.max_bytes = size;
  }
  if (const auto text = words.one("max-cpu")) {
    const auto time = parse_timeout(*text);
    if (!time) return fail({}, concat("--max-cpu: ", time.error().text));
    wish.how.max_cpu = std::chrono::duration_cast<std::chrono::seconds>(*time);
  }
  return wish;
}

void say_what_is_missing(const Created& created) {
  if (created.counts.devices > 0)
    note(concat("left out ", created.counts.devices,
                " device nodes: a container has a /dev of its own"));
  if (created.counts.attributes > 0)
    note(concat("left out ", created.counts.attributes,
                " file attributes that mean nothing in a container"));
  for (const auto& text : created.notes) note(text);
}

// The container is there, whatever becomes of the layers.
void finish_with(ImageInUse& used, CreateWish& wish) {
  wish.source = FromDirectory{};  // which held them
  if (auto dropped = used.images.drop_layers(used.image); !dropped)
    note(concat("the layers of ", used.image.name, " are kept: ", dropped.error().text));
}

}  // namespace

int run_create(const Words& words) {
  auto wish = wish_of(words);
  if (!wish) return own_failure(wish.error());
  const auto store = Store::open_or_make(words.one("path"));
  if (!store) return own_failure(store.error());
  std::optional<ImageInUse> image;
  if (const auto reference = words.one("image")) {
    auto used = use_image(*reference, words, *store);
    if (!used) return own_failure(used.error());
    image.emplace(std::move(*used));
    auto parts = image->images.parts(image->image);
    if (!parts) return own_failure(parts.error());
    wish->source = FromImage{std::move(*parts)};
  }
  ProgressLine progress;
  wish->how.on_progress = [&](const UnpackCounts& counts) { progress.show(to_text(counts)); };
  wish->how.on_stage = [&](std::string_view text) { progress.show(text); };
  const auto created = create_container(*store, *wish);
  progress.clear();
  if (!created) return own_failure(created.error());
  say_what_is_missing(*created);
  if (image) finish_with(*image, *wish);
  const auto& name = created->container.name();
  if (std::holds_alternative<FromDebian>(wish->source))
    note(concat("root of ", name, " has no password: when it runs, userns-run exec ", name,
                " -- passwd sets one; exec itself needs none"));
  if (progress.on_terminal())
    note(concat(name, " is there (", to_text(created->counts), "): userns-run start ", name,
                " starts it"));
  return 0;
}

}  // namespace userns::frontend
