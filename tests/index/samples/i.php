<?php
class Cart {
    public static function load($id) { return 1; }
    private function x() {}
}
function helper() {}
