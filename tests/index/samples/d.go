package main

import (
	"fmt"
	"os"
)

const Max = 3

var (
	a, b = 1, 2
)

// Cart holds.
type Cart struct {
	Name string
}

type Shape interface {
	Area() int
}

func (c *Cart) Add(n string) error {
	return nil
}

func (m Map[K]) Get(k K) int { return 1 }

func main() { fmt.Println(os.Args) }
