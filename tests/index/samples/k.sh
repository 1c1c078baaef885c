#!/bin/bash
build() {
  echo hi
}
function deploy { echo; }
