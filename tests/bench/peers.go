// peers.go switch|submit|trip - what goroutines reach, one figure a line.
//
// switch: ns a turn of one of two goroutines in runtime.Gosched. submit: millions a second through a
// channel, each received and run by another goroutine. trip: us (median) there and back over two
// channels between two threads.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"
)

const (
	turns       = 3000000
	submissions = 2000000
	trips       = 20000
)

func twoSpinners() float64 {
	var all sync.WaitGroup
	runtime.GOMAXPROCS(1)
	all.Add(2)
	t0 := time.Now()
	for g := 0; g < 2; g++ {
		go func() {
			for i := 0; i < turns; i++ {
				runtime.Gosched()
			}
			all.Done()
		}()
	}
	all.Wait()
	return float64(time.Since(t0).Nanoseconds()) / turns / 2
}

func submit() float64 {
	work, done := make(chan func(), 4096), make(chan bool)
	count := 0
	go func() {
		for f := range work {
			f()
		}
		done <- true
	}()
	t0 := time.Now()
	for i := 0; i < submissions; i++ {
		work <- func() { count++ }
	}
	close(work)
	<-done
	return submissions / time.Since(t0).Seconds() / 1e6
}

func trip() float64 {
	there, back := make(chan int), make(chan int)
	ready := make(chan bool)
	go func() {
		runtime.LockOSThread()
		ready <- true
		for n := range there {
			back <- n
		}
	}()
	<-ready
	taken := make([]float64, trips)
	runtime.LockOSThread()
	for i := range taken {
		t0 := time.Now()
		there <- i
		<-back
		taken[i] = float64(time.Since(t0).Nanoseconds()) / 1e3
	}
	sort.Float64s(taken)
	return taken[trips/2]
}

func main() {
	switch os.Args[1] {
	case "switch":
		fmt.Println(twoSpinners())
	case "submit":
		fmt.Println(submit())
	default:
		fmt.Println(trip())
	}
}
