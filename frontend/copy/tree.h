// The files of a named container, as its processes see them if it runs, for work that is done as
// the root of its ids (in_map()).
//
// No process of ours enters the container: its root directory is opened from outside, and the work
// has the same ids in a user namespace of its own. So nothing in the container can see the work,
// signal it or trace it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "common/fd.h"
#include "frontend/spec/spec.h"
#include "frontend/start/ids/choose_ids.h"
#include "frontend/store/store.h"
#include "policy/error.h"

namespace userns::frontend {

class ContainerTree {
 public:
  // One that is stopped cannot be started for as long as this lives.
  static Result<ContainerTree> open(const Container& container);

  [[nodiscard]] const Container& container() const { return container_; }
  [[nodiscard]] const ChosenIds& ids() const { return ids_; }
  [[nodiscard]] bool is_running() const { return root_.valid(); }

  // What the work gets: the tree's root directory.
  using AtRoot = std::function<Result<std::string>(const Fd& root)>;
  [[nodiscard]] Result<std::string> work(const AtRoot& act) const;

 private:
  ContainerTree(Container container, Spec spec, ChosenIds ids)
      : container_(std::move(container)), spec_(std::move(spec)), ids_(std::move(ids)) {}
  Container container_;
  Spec spec_;
  ChosenIds ids_;
  Fd root_;                   // of one that runs
  std::optional<Lock> lock_;  // of one that is stopped
};

}  // namespace userns::frontend
